"""`sepo score`: the reward of every response token."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sepo_data.commands.grouped_help import INPUT, MODELS, OUTPUT, REWARDS, RUN
from sepo_data.commands.options import (
    AsJson,
    DryRun,
    InheritedLength,
    InheritedTemplate,
    InheritedTruncate,
    NoProgress,
    OnBadRows,
    Overwrite,
    Quiet,
    StageOut,
    TemplateDate,
    Yes,
    number,
    option,
    parse_names,
    parse_row_limit,
)
from sepo_data.commands.reading_options import reads_preferences
from sepo_data.commands.session import confirm_overwrite, note_skipped, print_answer, session
from sepo_data.errors import SepoError
from sepo_train.commands.model_options import ModelDtype, TrustRemoteCode
from sepo_train.scoring.options import Backend, ModelsInMemory, ScoringOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sepo_data.console.terminal import Terminal
    from sepo_data.preferences.reading import Reading
    from sepo_data.schemas.manifest import Manifest

EXAMPLES = (
    "sepo score prefs.jsonl --oracle oracle/ --ref HuggingFaceTB/SmolLM2-135M-Instruct --out rewards/",
    "sepo score prefs.jsonl --oracle oracle/ --ref ref/ --keep-columns source,topic --out rewards/",
    "sepo score user/dataset --split train --oracle oracle/ --ref ref/ --out rewards/ --dry-run",
    "sepo score --mix a.jsonl=0.7 user/dataset=0.3 --holdout 2000 --oracle oracle/ --ref ref/ --out rewards/",
)


@reads_preferences
def run(
    reading: Reading,
    oracle: Annotated[
        str, option(MODELS, metavar="MODEL", help="the oracle: a folder that `sepo oracle` wrote, or any model")
    ],
    ref: Annotated[str, option(MODELS, metavar="MODEL", help="the reference model that the oracle started from")],
    out: StageOut,
    beta: Annotated[
        float | None,
        number(REWARDS, help="the oracle's DPO beta; scales the rewards; as it was trained, or 0.1 by default"),
    ] = None,
    on_bad_row: OnBadRows = "skip",
    keep_columns: Annotated[str, option(OUTPUT, metavar="A,B", help="side columns of the input to carry through")] = "",
    max_length: InheritedLength = None,
    truncate: InheritedTruncate = None,
    dtype: ModelDtype = None,
    trust_remote_code: TrustRemoteCode = False,
    chat_template: InheritedTemplate = None,
    template_date: TemplateDate = None,
    batch_tokens: Annotated[int | None, option(RUN, min=1, help="tokens of one forward pass")] = None,
    shard_rows: Annotated[
        int | None,
        option(OUTPUT, min=1, help="rows of a shard, the most work a kill can lose; by default a few minutes of it"),
    ] = None,
    only_shard: Annotated[int | None, option(RUN, min=0, help="write shard N alone, as a task of an array job")] = None,
    models_in_memory: Annotated[ModelsInMemory, option(RUN, help="load one model after the other, or both")] = 1,
    check_precision: Annotated[
        int, option(RUN, min=0, help="score N pairs again in float32, and record the differences")
    ] = 0,
    max_skipped: Annotated[
        str,
        option(INPUT, parser=parse_row_limit, metavar="SHARE|N", help="exit 1 when more rows are skipped: 1%, or 20"),
    ] = "1%",
    backend: Annotated[Backend, option(RUN, help="run in this process, or on workers of a Ray cluster")] = "local",
    workers: Annotated[int, option(RUN, min=1, help="Ray workers")] = 1,
    gpus: Annotated[float, option(RUN, min=0, help="GPUs of each Ray worker")] = 0,
    overwrite: Overwrite = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: AsJson = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> None:
    """Score every response token of a preference dataset.

    The reward of a token is beta * (log p_oracle - log p_ref). Stopped at any point, the same command resumes.
    """
    if backend == "local" and (workers > 1 or gpus):
        raise typer.BadParameter(
            "--workers and --gpus belong to --backend ray; here, run the command as often as you like"
        )
    if backend == "ray" and only_shard is not None:
        raise typer.BadParameter("--only-shard is for one process; --backend ray distributes all shards")
    confirm_overwrite(out, overwrite=overwrite and not dry_run, yes=yes)
    with session(quiet=quiet, no_progress=no_progress) as terminal:
        from sepo_data.stages.rewards import EQUAL_MODELS
        from sepo_data.storage.hub import reach_model
        from sepo_train.scoring.process_rank import current_rank

        for model in (oracle, ref):
            reach_model(model)
        if backend == "ray" and not dry_run:
            from sepo_train.scoring.ray_workers import score_with_ray

            score_dataset = partial(score_with_ray, workers=workers, gpus=gpus)
        else:
            from sepo_train.scoring.score import score

            score_dataset = partial(score, dry_run=dry_run, only_shard=only_shard)
        with _command_in_hint():
            manifest = score_dataset(
                replace(reading, keep_columns=parse_names(keep_columns)),
                out,
                oracle=oracle,
                ref=ref,
                options=ScoringOptions(
                    beta=beta,
                    max_length=max_length,
                    truncate=truncate,
                    dtype=dtype,
                    chat_template=chat_template,
                    template_date=template_date,
                    batch_tokens=batch_tokens,
                    shard_rows=shard_rows,
                    on_bad_row=on_bad_row,
                    max_skipped=max_skipped,
                    models_in_memory=models_in_memory,
                    check_precision=check_precision,
                    trust_remote_code=trust_remote_code,
                ),
                overwrite=overwrite,
                progress=terminal,
            )
        first = current_rank().first
        if manifest.complete and first:
            _check_skipped(terminal, manifest, out, max_skipped)
            if EQUAL_MODELS not in manifest.results:
                terminal.note(f"next: sepo select {quote(str(out))} --chosen 30% --rejected 30% --out selection/")
        if first and dry_run:
            print_answer(out, manifest, as_json=json, dry_run=True)
            _check_expected(terminal, manifest, max_skipped)
    if first and not dry_run and (manifest.complete or only_shard is not None):
        print_answer(out, manifest, as_json=json)


@contextmanager
def _command_in_hint() -> Iterator[None]:
    """Give the complete command with the right models where the wrong ones are refused."""
    from sepo_train.commands.typed_command import typed_command
    from sepo_train.scoring.model_roles import RolesError

    try:
        yield
    except RolesError as error:
        raise SepoError(str(error), typed_command(oracle=error.oracle, ref=error.ref)) from error


def _check_skipped(terminal: Terminal, manifest: Manifest, out: Path, max_skipped: str) -> None:
    """Note the skipped rows; raise when more of them were unusable than `max_skipped` allows."""
    from sepo_data.preferences.skipped import check_skipped

    reasons = manifest.total("skipped")
    note_skipped(terminal, f"{manifest.rows:,} pairs scored", reasons, out)
    where = f"{out} is complete, and {out}/skipped.jsonl lists the reasons"
    check_skipped(reasons, manifest.input.rows, max_skipped, consequence=where)


def _check_expected(terminal: Terminal, manifest: Manifest, max_skipped: str) -> None:
    """Note the rows that a run would skip; raise, as it would, when they are more than `max_skipped` allows."""
    from sepo_data.preferences.skipped import check_skipped, reasons_text

    found: dict[str, Any] = manifest.results
    terminal.note(f"dry run: {found['rows']:,} pairs would be scored, {reasons_text(found['skipped'])}")
    where = "the run would end with exit code 1, too"
    check_skipped(found["skipped"], manifest.input.rows, max_skipped, consequence=where)
