"""Train the oracle: DPO from the reference model on a random part of the data, the first step of SePO."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np

from sepo_data.checked import above, at_least, checked, path_text
from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError
from sepo_data.preferences.holdout import SPLIT, TRAIN
from sepo_data.preferences.reading import Reading, as_reading
from sepo_data.preferences.sides import read_sides
from sepo_data.preferences.skipped import OnBadRow, Truncate, enforce_on_bad_row, skipped_lines
from sepo_data.schemas.folder import SKIPPED
from sepo_data.schemas.manifest import Manifest
from sepo_data.schemas.stages import Stage
from sepo_data.selection.quota import Quota, parse_share_quota
from sepo_data.share import format_share
from sepo_data.stages.runs import find_run
from sepo_data.stages.seen_pairs import write_seen_pairs
from sepo_data.stages.trained_models import begun_on
from sepo_data.stages.versions import installed_versions
from sepo_data.storage.atomic import write_text
from sepo_data.storage.location import local_folder
from sepo_train.engine.layout import Tree
from sepo_train.models.load import model_record
from sepo_train.models.tokenized_input import open_tokenized
from sepo_train.models.tokenizers import tokenizer_record
from sepo_train.training.objectives import objective
from sepo_train.training.processes import agree_on_layout
from sepo_train.training.reference_logps import computed_ref_logps
from sepo_train.training.restore import restored
from sepo_train.training.run import run_training
from sepo_train.training.selected_pairs import TrainingPair
from sepo_train.training.trainable_model import in_training_dtype, trainable_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic import JsonValue

    from sepo_data.selection.quota import Amount
    from sepo_data.shapes.pairs import SkippedRow
    from sepo_data.tokenization.tokenize import TokenizedPair
    from sepo_data.tokenization.tokenized_dataset import TokenizedDataset
    from sepo_train.training.run import History
    from sepo_train.training.settings import Training


@checked(beta=above(0), max_length=at_least(2), truncate=Truncate, on_bad_row=OnBadRow)
def train_oracle(
    dataset: str | Path | Reading,
    out: str | Path,
    *,
    ref: str | Path,
    fraction: Amount = "100%",
    beta: float = 0.1,
    training: Training,
    max_length: int | None = None,
    truncate: Truncate | None = None,
    chat_template: str | Path | None = None,
    template_date: str | None = None,
    on_bad_row: OnBadRow = "skip",
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """Train an oracle with DPO from `ref` on a random `fraction` (`"30%"`, 0.3) of the rows of `dataset`.

    The checkpoint in `out` is a plain transformers one; `seen_pairs.jsonl` beside it records the pairs used, so that
    scoring can mark them, and `skipped.jsonl` the unusable rows. Pairs that a `Reading` with `holdout` keeps out are
    not used. The reference's log-probabilities are computed once, before training.

    Raises:
        SepoError: the dataset or the model cannot be used, a row is bad and `on_bad_row` is "fail", or the loss is not
            finite.
        RefusedError: `out` holds something else.
    """
    started = time.monotonic()
    out, ref, share = local_folder(out), path_text(ref), parse_share_quota(fraction, "fraction").basis_points
    reading = as_reading(dataset).in_any_order()  # training has an order of its own
    prepared = open_tokenized(
        reading,
        ref,
        max_length=max_length,
        truncate=truncate,
        chat_template=chat_template,
        template_date=template_date or (None if overwrite else begun_on(out)),
        trust_remote_code=training.trust_remote_code,
        progress=progress,
    )
    _note_unread_split(prepared, progress)
    plan = plan_oracle(prepared, reading, ref=ref, fraction=share, beta=beta, training=training, truncate=truncate)
    if (previous := find_run(out, plan, overwrite=overwrite)) and previous.complete:
        return _restored(out, previous, prepared, share, training, progress=progress)

    items, skipped = random_pairs(prepared, share, training.seed)
    enforce_on_bad_row(skipped, on_bad_row)
    progress.note(f"training on {len(items):,} pairs ({format_share(share)} of the rows, seed {training.seed})")
    model = trainable_model(ref, training, progress)
    trees = [Tree(item.prompt_ids, (item.chosen_ids, item.rejected_ids)) for item in items]
    layout_policy = agree_on_layout(model, trees)
    progress.note(f"{layout_policy.layout_name}; reference log-probabilities of {len(items):,} pairs")
    with in_training_dtype(model, training):
        ref_logps = computed_ref_logps(model, trees, layout_policy).tolist()
    pairs = [
        TrainingPair(item.pair.pair_id, tree, (chosen, rejected))
        for item, tree, (chosen, rejected) in zip(items, trees, ref_logps, strict=True)
    ]
    return run_training(
        model,
        prepared.tokenizer,
        pairs,
        out,
        plan=plan,
        lengths=[layout_policy.length(tree) for tree in trees],
        objective=replace(objective("dpo", beta=beta), starts_equal=True),
        layout_policy=layout_policy,
        training=training,
        overwrite=overwrite,
        resume=resume,
        started=started,
        progress=progress,
        results=lambda logged: _counts(items, skipped) | {"layout": layout_policy.layout_name} | _loss_results(logged),
        write_records=lambda folder: write_records(folder, items, skipped),
    )


def plan_oracle(
    prepared: TokenizedDataset,
    reading: Reading,
    *,
    ref: str,
    fraction: int,
    beta: float,
    training: Training,
    truncate: Truncate | None,
) -> Manifest:
    """The manifest of the run before it has results: everything that decides the oracle's weights."""
    return Manifest(
        stage=Stage.ORACLE,
        input=prepared.input,
        models={"ref": model_record(ref, trust_remote_code=training.trust_remote_code)},
        tokenizer=tokenizer_record(prepared.tokenizer),
        options={
            "beta": beta,
            "fraction": format_share(fraction),
            "max_length": prepared.max_length,
            "truncate": truncate,
            **prepared.template_plan,
            **reading.plan(),
            **training.plan(),
        },
        runtime=training.runtime(),
        versions=installed_versions(),
    )


def _note_unread_split(prepared: TokenizedDataset, progress: Progress) -> None:
    if SPLIT in prepared.preferences.unread:
        progress.note(
            "note: the column split is not read, so pairs that it holds out are trained on; --holdout keeps pairs out"
        )


def _counts(pairs: Sequence[TokenizedPair], skipped: Sequence[SkippedRow]) -> dict[str, JsonValue]:
    reasons = Counter(row.reason for row in skipped)
    return {"pairs_seen": len(pairs), "skipped": dict(sorted(reasons.items()))}


def _loss_results(logged: History) -> dict[str, JsonValue]:
    first, last = logged[0], logged[-1]
    return {"first_loss": first["loss"], "last_loss": last["loss"]}


def _restored(
    out: Path,
    previous: Manifest,
    prepared: TokenizedDataset,
    fraction: int,
    training: Training,
    *,
    progress: Progress,
) -> Manifest:
    """The complete run in `out`, with its tokenizer and its records as the same arguments would write them."""
    return restored(
        out,
        previous,
        prepared.tokenizer,
        progress,
        trust_remote_code=training.trust_remote_code,
        write_records=lambda folder: write_records(folder, *random_pairs(prepared, fraction, training.seed)),
    )


def random_pairs(prepared: TokenizedDataset, fraction: int, seed: int) -> tuple[list[TokenizedPair], list[SkippedRow]]:
    """The usable pairs among a random `fraction` (basis points) of the input rows, and the skipped rows of these.

    In input order, without the holdout pairs.
    """
    preferences = prepared.preferences
    count = Quota(basis_points=fraction).k_of(preferences.rows)
    chosen = np.random.default_rng(seed).permutation(preferences.rows)[:count]
    pairs, skipped = prepared.all_pairs(only=preferences.row_numbers(chosen))
    sides = read_sides((item.pair.extra.get(SPLIT) for item in pairs), prepared.input.name)
    train = pairs if sides is None else [item for item, side in zip(pairs, sides, strict=True) if side == TRAIN]
    if not train:
        raise SepoError(f"all {len(pairs):,} pairs of this --fraction are held out", "choose a larger --fraction")
    return train, skipped


def write_records(out: Path, pairs: Sequence[TokenizedPair], skipped: Sequence[SkippedRow]) -> None:
    """Write `seen_pairs.jsonl` and `skipped.jsonl` into `out`."""
    write_seen_pairs(out, (item.pair for item in pairs))
    write_text(out / SKIPPED, skipped_lines(map(asdict, skipped)))
