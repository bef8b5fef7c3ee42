"""The `sepo` command: every command parses, calls one library function and prints its answer.

Standard output is the answer, standard error is talk. Heavy packages are imported by the command that needs them.
"""

from __future__ import annotations

import errno
import inspect
import io
import logging
import math
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from enum import StrEnum
from functools import partial, wraps
from json import dumps
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.models import ArgumentInfo

from sepo_data.errors import RefusedError, SepoError
from sepo_data.preferences.reading import Reading

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from sepo_data.console.terminal import Terminal
    from sepo_data.schemas.manifest import Manifest

SHARDS_GO_ON = "what was finished is safe, the same command goes on"
CHECKPOINTS_GO_ON = "with --save-steps, the same command and --resume go on from the last checkpoint"
MENDABLE = "with that mended the same command goes on; what was finished is safe (SEPO_DEBUG=1 tells where it was)"
ISSUES = "https://github.com/sepo-toolkit/sepo/issues"

HELP = """Selective Preference Optimization: align a language model on only the tokens that matter.

\b
Four steps, each reads a dataset and writes one:
  sepo oracle DATASET --ref MODEL --out oracle/
  sepo score DATASET --oracle oracle/ --ref MODEL --out rewards/
  sepo select rewards/ --chosen 30% --rejected 30% --out selection/
  sepo train selection/ --policy MODEL --out policy/

Every option can also be set in the environment (SEPO_SCORE_BETA=0.2) or in a file (sepo --config FILE COMMAND ...),
in this order: command line, environment, file, default.

Exit codes: 0 done, 1 something you can fix, 2 usage, 3 refused (the output holds something else), 4 Hub or
authentication, 70 a bug of ours, 130 interrupted (what was finished is safe, the same command goes on).
"""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"auto_envvar_prefix": "SEPO", "help_option_names": ["-h", "--help"]},
)


class RankedPairs(StrEnum):
    BEST_WORST = "best-worst"
    ALL = "all"
    ADJACENT = "adjacent"


class OnBadRow(StrEnum):
    SKIP = "skip"
    FAIL = "fail"


class Truncation(StrEnum):
    PROMPT = "prompt"
    RESPONSE = "response"


class ResidentModels(StrEnum):
    ONE = "one"
    BOTH = "both"


class Engine(StrEnum):
    LOCAL = "local"
    RAY = "ray"


class Dtype(StrEnum):
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class TrainingDtype(StrEnum):
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Loss(StrEnum):
    SEPO = "sepo"
    DPO = "dpo"
    IPO = "ipo"
    SIMPO = "simpo"
    CPO = "cpo"
    ORPO = "orpo"
    KTO = "kto"
    RRHF = "rrhf"


# What comes from a configuration file is a value, not a text: hence the str() and float() of these parsers.


def _share(text: str) -> int:
    from sepo_data.selection.share import parse_share

    try:
        return parse_share(str(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _share_or_none(text: str) -> int:
    return 0 if str(text).strip() in {"0", "0%", "0.0"} else _share(text)


def _row_limit(text: str) -> Callable[[int], int]:
    """How many of so many rows: `20` for that many, `1%` for a share."""
    if str(text).isdecimal():
        return lambda _rows: int(text)
    from sepo_data.selection.share import WHOLE

    share = _share_or_none(text)
    return lambda rows: rows * share // WHOLE


def _amount(text: str) -> str:
    """An amount that is one; which rules take it is for them to say."""
    from sepo_data.selection.quota import parse_amount

    try:
        return str(text) and str(parse_amount(str(text)))
    except SepoError as error:
        raise typer.BadParameter(f"{error}; {error.hint}") from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _roles(text: str) -> dict[str, str]:
    """Which column plays which role: `chosen=response_j,prompt=question`."""
    entries = [entry.partition("=")[::2] for entry in _names(str(text))]
    roles = dict(entries)
    if not all(roles.values()):
        raise typer.BadParameter(f"{text!r}: write ROLE=COLUMN, such as chosen=response_j,prompt=question")
    if len(roles) < len(entries):
        raise typer.BadParameter(f"{text!r}: a role is named twice; each is played by one column")
    return roles


def _part(text: str) -> tuple[str, float]:
    from sepo_data.preferences.mixture import parse_part

    try:
        return parse_part(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--mix") from None


def _location(text: str) -> Path:
    from sepo_data.storage.location import location

    return location(str(text))


def _local(text: str) -> Path:
    from sepo_data.storage.location import is_remote

    if is_remote(folder := _location(text)):
        raise typer.BadParameter(f"{folder}: models are written to a folder on this machine")
    return folder


def _stage_folder(text: str) -> Path:
    """A stage directory to read; of one in a store, its copy on this machine."""
    from sepo_data.storage.location import is_remote

    if not is_remote(folder := _location(text)):
        return folder
    from sepo_data.stages.scan import fetched_stage

    return fetched_stage(folder)


def _finite(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise typer.BadParameter(f"{text!r} is not a number")
    return number


def _not_negative(text: str) -> float:
    number = _finite(text)
    if number < 0:
        raise typer.BadParameter(f"{text!r} is below 0")
    return number


def _positive(text: str) -> float:
    number = _finite(text)
    if number <= 0:
        raise typer.BadParameter(f"{text!r} is not above 0")
    return number


def _examples(*commands: str) -> str:
    """The end of a command's help, one example a line."""
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)


Datasets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DATASET",
        help="a file, a folder, a glob, a Hub id, a URL, or - for standard input",
    ),
]
Out = Annotated[Path, typer.Option("--out", parser=_local, metavar="PATH", help="directory to write")]
StageOut = Annotated[
    Path, typer.Option("--out", parser=_location, metavar="PATH", help="directory to write, here or s3://, gs://, ...")
]
Limit = Annotated[int | None, typer.Option(min=1, help="read only so many rows, for a first look")]
OnBad = Annotated[OnBadRow, typer.Option(help="set rows that cannot be used aside, or exit 1 at the first")]
MaxLength = Annotated[
    int | None, typer.Option(min=2, help="tokens of prompt and one response; 2048 or the model's context by default")
]
Truncate = Annotated[Truncation | None, typer.Option(help="cut longer pairs there, instead of setting them aside")]
ChatTemplate = Annotated[Path | None, typer.Option(help="a Jinja file, instead of the tokenizer's own chat template")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace another run in --out")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask before --overwrite deletes")]
AsJson = Annotated[bool, typer.Option("--json", help="print the answer as one JSON object")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="check and count, write nothing, load no weights")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no talk on standard error but errors")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="plain lines instead of a bar")]
Lr = Annotated[float, typer.Option("--lr", parser=_positive, metavar="NUMBER", help="peak learning rate of AdamW")]
Epochs = Annotated[float, typer.Option(parser=_positive, metavar="NUMBER", help="passes over the pairs")]
BatchSize = Annotated[int, typer.Option(min=1, help="pairs of one optimizer step")]
MicroBatchSize = Annotated[int, typer.Option(min=1, help="pairs of one forward pass on one process")]
LoraR = Annotated[int, typer.Option("--lora-r", min=0, help="rank of LoRA adapters; 0 trains every parameter")]
Seed = Annotated[int, typer.Option(min=0, help="of the random choice, the data order and the adapters")]
SaveSteps = Annotated[int, typer.Option(min=0, help="optimizer steps between checkpoints; 0 for none")]
Resume = Annotated[bool, typer.Option("--resume", help="go on from the last checkpoint in --out")]
ReportTo = Annotated[str, typer.Option(help="loggers as transformers names them: none, tensorboard, wandb, ...")]
Checkpointing = Annotated[
    bool, typer.Option("--gradient-checkpointing", help="save memory by computing activations twice")
]


def _reading(
    dataset: Datasets = None,
    *,
    mix: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=WEIGHT", help="mix datasets: --mix a.jsonl=0.7 hub/id=0.3"),
    ] = None,
    split: Annotated[str | None, typer.Option(help="split to read; `train` where there is one")] = None,
    subset: Annotated[str | None, typer.Option(help="configuration of a Hub dataset that has several")] = None,
    revision: Annotated[str | None, typer.Option(help="branch, tag or commit of a Hub dataset")] = None,
    streaming: Annotated[bool, typer.Option("--streaming", help="read a Hub dataset row by row")] = False,
    query: Annotated[str | None, typer.Option(metavar="SQL", help="rows of a SQLite or DuckDB file")] = None,
    columns: Annotated[
        dict[str, str],
        typer.Option(parser=_roles, metavar="A=B,C=D", help="what columns mean: chosen=response_j,prompt=question"),
    ] = "",  # type: ignore[assignment]
    pairs: Annotated[RankedPairs, typer.Option(help="pairs of a row of ranked answers")] = RankedPairs.BEST_WORST,
    limit: Limit = None,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="read in random order; --limit is a sample")] = False,
    seed: Annotated[int, typer.Option(min=0, help="of --shuffle")] = 0,
    dedupe: Annotated[bool, typer.Option("--dedupe", help="set pairs aside that came before")] = False,
    holdout: Annotated[
        int, typer.Option(min=0, metavar="N", help="keep about N pairs out of training, whole prompts")
    ] = 0,
) -> Reading:
    """What a command says about its input; these are the options of every command that reads preferences."""
    names = dataset or []
    if not mix and len(names) != 1:
        raise typer.BadParameter(f"{len(names)} datasets: name one, or mix several with --mix NAME=WEIGHT NAME=WEIGHT")
    return Reading(
        dataset="" if mix else names[0],
        mix=tuple(_part(text) for text in (*mix, *names)) if mix else (),
        split=split,
        subset=subset,
        revision=revision,
        query=query,
        streaming=streaming,
        columns=columns,
        pairs=pairs.value,
        limit=limit,
        shuffle=shuffle,
        seed=seed,
        dedupe=dedupe,
        holdout=holdout,
    )


def _training(
    lr: Lr = 1e-6,
    epochs: Epochs = 1.0,
    batch_size: BatchSize = 32,
    micro_batch_size: MicroBatchSize = 4,
    lora_r: LoraR = 0,
    merge_lora: Annotated[bool, typer.Option("--merge-lora", help="save adapters as part of the weights")] = False,
    gradient_checkpointing: Checkpointing = False,
    dtype: Annotated[
        TrainingDtype | None, typer.Option(help="of products; float32 on CPUs, bfloat16 elsewhere. Weights are fp32")
    ] = None,
    seed: Seed = 0,
    save_steps: SaveSteps = 0,
    report_to: ReportTo = "none",
) -> dict[str, Any]:
    """What a command says about how to train; these are the options of every command that trains."""
    return {**locals(), "dtype": dtype.value if dtype else None}


def _takes(parameter: str, build: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of `build` for its `parameter`; an option that it has itself as well is shared."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = dict(inspect.signature(command, eval_str=True).parameters)
        del own[parameter]
        shared = inspect.signature(build, eval_str=True).parameters
        added = [option for name, option in shared.items() if name not in own]
        arguments = [option for option in added if isinstance(option.annotation.__metadata__[-1], ArgumentInfo)]
        required = [option for option in own.values() if option.default is option.empty]

        @wraps(command)
        def with_built(**given: Any) -> None:  # noqa: ANN401 - what the command line gives
            built = build(**{name: given[name] for name in shared})
            command(**{parameter: built}, **{name: value for name, value in given.items() if name in own})

        in_order = {option.name: option for option in (*arguments, *required, *added, *own.values())}
        options = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in in_order.values()]
        with_built.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]  # what Typer reads
        with_built.__annotations__ = {option.name: option.annotation for option in options}
        return with_built

    return decorate


_reads_preferences = _takes("reading", _reading)
_trains = _takes("training", _training)


def _print_versions(wanted: bool) -> None:
    if wanted:
        from sepo_data.stages.versions import versions

        print("\n".join(f"{name} {number}" for name, number in versions().items()))
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(help="a TOML file with a table of options for each command")] = None,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="print the versions of sepo and what it stands on",
            callback=_print_versions,
            is_eager=True,
            show_envvar=False,
        ),
    ] = False,
) -> None:
    if config is not None:
        from sepo_data.commands.config_file import read_config

        known = {
            name: {option.name: getattr(option, "multiple", False) for option in command.params if option.name}
            for name, command in _commands(context).items()
        }
        context.default_map = read_config(config, known)


@app.command(
    epilog=_examples(
        "sepo check prefs.jsonl",
        "sepo check user/dataset --split train --tokenizer HuggingFaceTB/SmolLM2-135M-Instruct --max-length 1024",
        "sepo check pairs.csv --columns chosen=response_j,rejected=response_k,prompt=question --json",
    )
)
@_reads_preferences
def check(
    reading: Reading,
    on_bad_row: OnBad = OnBadRow.SKIP,
    tokenizer: Annotated[
        str | None, typer.Option(metavar="MODEL", help="tokenize as for this model: a folder, a Hub id or a .gguf file")
    ] = None,
    max_length: MaxLength = None,
    chat_template: ChatTemplate = None,
    json: AsJson = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> None:
    """Tell what a preference dataset is read as, and what is wrong with it.

    Its shape, a pair as a model sees it, lengths, what would be set aside and why, repetitions. No weights are loaded.
    Without --tokenizer, lengths are in characters.
    """
    if tokenizer is None and (max_length or chat_template):
        raise typer.BadParameter("--max-length and --chat-template need a --tokenizer")
    with _stage(quiet=quiet, no_progress=no_progress, goes_on="nothing was written") as terminal:
        from sepo_data.analysis.check import check as look
        from sepo_data.analysis.check_report import check_lines
        from sepo_data.console.printable import printable

        loaded = None
        if tokenizer is not None:
            loaded, max_length = _tokenizer_alone(tokenizer, max_length, chat_template)
        found = look(reading, tokenizer=loaded, max_length=max_length, on_bad_row=on_bad_row.value, progress=terminal)
    print(dumps(found) if json else "\n".join(printable(line) for line in check_lines(found)))
    if not found["usable"]:
        raise SepoError(f"no pair of the {found['rows']:,} rows can be used", "docs/datasets.md explains the reasons")


def _tokenizer_alone(
    model: str, max_length: int | None, chat_template: Path | None
) -> tuple[PreTrainedTokenizerBase, int]:
    """The tokenizer of `model`, and how many tokens fit it, in a second: torch is not imported."""
    if not model.endswith(".gguf"):  # one that was never used is converted first, by torch
        # transformers imports torch wherever it finds it, and needs none for a tokenizer.
        sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
    from sepo_train.models.files import fitting_length, load_config, load_tokenizer

    return load_tokenizer(model, chat_template=chat_template), fitting_length({model: load_config(model)}, max_length)


@app.command(
    epilog=_examples(
        "sepo oracle prefs.jsonl --ref HuggingFaceTB/SmolLM2-135M-Instruct --fraction 30% --out oracle/",
        "sepo oracle user/dataset --split train --ref ref/ --lora-r 16 --lr 1e-5 --save-steps 100 --out oracle/",
        "sepo oracle --mix a.jsonl=0.7 user/dataset=0.3 --holdout 2000 --ref ref/ --out oracle/",
    )
)
@_trains
@_reads_preferences
def oracle(
    reading: Reading,
    training: dict[str, Any],
    ref: Annotated[str, typer.Option(help="the reference model to start from: a folder, a Hub id or a .gguf file")],
    out: Out,
    fraction: Annotated[int, typer.Option(parser=_share, metavar="SHARE", help="random share of the rows")] = "100%",  # type: ignore[assignment]
    seed: Seed = 0,  # noqa: ARG001 - named here for its help; reading and training share it
    beta: Annotated[float, typer.Option(parser=_positive, metavar="NUMBER", help="DPO's pull to the reference")] = 0.1,
    on_bad_row: OnBad = OnBadRow.SKIP,
    max_length: MaxLength = None,
    truncate: Truncate = None,
    chat_template: ChatTemplate = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    yes: Yes = False,
    json: AsJson = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> None:
    """Train the oracle with DPO on a random part of the data.

    It starts from the reference model. The result is a plain transformers checkpoint; seen_pairs.jsonl beside it
    records the pairs it was trained on.
    """
    with _training_stage(out, overwrite=overwrite, yes=yes, quiet=quiet, no_progress=no_progress) as (terminal, first):
        from sepo_train.training.oracle import train_oracle
        from sepo_train.training.run import Training

        manifest = train_oracle(
            reading,
            out,
            ref=ref,
            fraction=fraction,
            beta=beta,
            training=Training(**training),
            max_length=max_length,
            truncate=truncate.value if truncate else None,
            chat_template=chat_template,
            on_bad_row=on_bad_row.value,
            overwrite=overwrite,
            resume=resume,
            progress=terminal,
        )
        results: dict[str, Any] = manifest.results
        _tell_skipped(terminal, f"{results['pairs_seen']:,} pairs seen", results.get("skipped", {}), out)
        terminal.note(
            f"next: sepo score {_typed(reading)} --oracle {quote(str(out))} --ref {quote(ref)} --out rewards/"
        )
    if first:
        _answer(out, manifest, as_json=json)


@app.command(
    epilog=_examples(
        "sepo score prefs.jsonl --oracle oracle/ --ref HuggingFaceTB/SmolLM2-135M-Instruct --out rewards/",
        "sepo score prefs.jsonl --oracle oracle/ --ref ref/ --keep source,topic --out rewards/",
        "sepo score user/dataset --split train --oracle oracle/ --ref ref/ --out rewards/ --dry-run",
        "sepo score --mix a.jsonl=0.7 user/dataset=0.3 --holdout 2000 --oracle oracle/ --ref ref/ --out rewards/",
    )
)
@_reads_preferences
def score(
    reading: Reading,
    oracle: Annotated[str, typer.Option(help="the oracle: a folder that `sepo oracle` wrote, or any model")],
    ref: Annotated[str, typer.Option(help="the reference model the oracle started from")],
    out: StageOut,
    beta: Annotated[
        float, typer.Option(parser=_positive, metavar="NUMBER", help="the oracle's DPO beta; scales the rewards")
    ] = 0.1,
    on_bad_row: OnBad = OnBadRow.SKIP,
    keep: Annotated[str, typer.Option(metavar="A,B", help="side columns of the input to carry through")] = "",
    max_length: MaxLength = None,
    truncate: Truncate = None,
    dtype: Annotated[Dtype | None, typer.Option(help="of both models; float32 on a CPU, bfloat16 on a GPU")] = None,
    chat_template: ChatTemplate = None,
    batch_tokens: Annotated[int | None, typer.Option(min=1, help="tokens of one forward pass")] = None,
    shard_rows: Annotated[
        int | None, typer.Option(min=1, help="rows a file, the most work a kill can lose; a few minutes by default")
    ] = None,
    only_shard: Annotated[int | None, typer.Option(min=0, help="this file alone, as a task of an array job")] = None,
    resident: Annotated[ResidentModels, typer.Option(help="models in memory: one after the other, or both")] = (
        ResidentModels.ONE
    ),
    check_precision: Annotated[
        int, typer.Option(min=0, metavar="N", help="score N pairs again in fp32, and record how far they differ")
    ] = 0,
    max_skipped: Annotated[
        Callable[[int], int],
        typer.Option(parser=_row_limit, metavar="LIMIT", help="exit 1 where more rows are set aside: 1%, or 20"),
    ] = "1%",  # type: ignore[assignment]
    engine: Annotated[Engine, typer.Option(help="this process, or workers of a Ray cluster")] = Engine.LOCAL,
    workers: Annotated[int, typer.Option(min=1, help="Ray workers")] = 1,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs of each Ray worker")] = 0,
    overwrite: Overwrite = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: AsJson = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> None:
    """Score every response token of a preference dataset.

    The reward of a token is beta * (log p_oracle - log p_ref). Stopped at any point, the same command goes on where
    it was.
    """
    if engine is Engine.LOCAL and (workers > 1 or gpus):
        raise typer.BadParameter("--workers and --gpus are of --engine ray; here, run the command as often as you like")
    if engine is Engine.RAY and only_shard is not None:
        raise typer.BadParameter("--only-shard is for one process; --engine ray deals out all shards")
    _confirm(out, overwrite=overwrite and not dry_run, yes=yes)
    with _stage(quiet=quiet, no_progress=no_progress) as terminal:
        from sepo_train.scoring.ranks import current_rank

        if engine is Engine.RAY and not dry_run:
            from sepo_train.scoring.ray_workers import score_with_ray

            score_dataset = partial(score_with_ray, workers=workers, gpus=gpus)
        else:
            from sepo_train.scoring.score import score

            score_dataset = partial(score, dry_run=dry_run, only_shard=only_shard)
        manifest = score_dataset(
            replace(reading, keep=_names(keep)),
            out,
            oracle=oracle,
            ref=ref,
            beta=beta,
            max_length=max_length,
            truncate=truncate.value if truncate else None,
            dtype=dtype.value if dtype else None,
            chat_template=chat_template,
            batch_tokens=batch_tokens,
            shard_rows=shard_rows,
            on_bad_row=on_bad_row.value,
            resident=resident.value,
            check_precision=check_precision,
            overwrite=overwrite,
            progress=terminal,
        )
        first = current_rank().first
        if manifest.finished and first:
            _report_skipped(terminal, manifest, out, max_skipped(manifest.input.rows))
            terminal.note(f"next: sepo select {quote(str(out))} --chosen 30% --rejected 30% --out selection/")
    if first and (manifest.finished or dry_run or only_shard is not None):
        _answer(out, manifest, as_json=json, dry_run=dry_run)


@app.command(
    epilog=_examples(
        "sepo select rewards/ --chosen 30% --rejected 30% --out selection/",
        "sepo select rewards/ --rule 'mass(80%)' --skip punctuation,whitespace --protect eos --out selection-mass/",
        "sepo select rewards/ --grid 'chosen=10%,30%,50% rejected=10%,30%' --out selections/",
    )
)
def select(
    rewards: Annotated[
        Path, typer.Argument(parser=_stage_folder, metavar="REWARDS", help="a directory that `sepo score` wrote")
    ],
    out: StageOut,
    rule: Annotated[str, typer.Option(help="which tokens: `top`, `mass(80%)`, `random(30%, seed=1)`, ...")] = "top",
    chosen: Annotated[
        str, typer.Option(parser=_amount, metavar="AMOUNT", help="of each chosen response: 30%, or 16t for tokens")
    ] = "",
    rejected: Annotated[str, typer.Option(parser=_amount, metavar="AMOUNT", help="of each rejected response")] = "",
    grid: Annotated[
        list[str] | None, typer.Option(help="values of the rule's arguments; a dataset for each combination")
    ] = None,
    skip: Annotated[str, typer.Option(metavar="A,B", help="not ranked: punctuation, whitespace, template")] = "",
    protect: Annotated[str, typer.Option(metavar="A", help="selected in any case: eos")] = "",
    min_tokens: Annotated[int, typer.Option(min=1, help="the rule takes no fewer")] = 1,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="the rule takes no more")] = None,
    window: Annotated[int, typer.Option(min=0, help="select neighbours, so many tokens away")] = 0,
    whole_words: Annotated[bool, typer.Option("--whole-words", help="select the rest of a word too")] = False,
    weights: Annotated[str, typer.Option(help="soft weights beside the mask: softmax, tis, linear")] = "",
    overwrite: Overwrite = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: AsJson = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> None:
    """Mark the tokens that matter: by default the highest rewards of chosen, the lowest of rejected.

    Response by response: max(1, floor(share x n)) of its n tokens, the earlier of two equal rewards first.
    """
    with _stage(quiet=quiet, no_progress=no_progress) as terminal:
        from sepo_data.selection.filters import Filters
        from sepo_data.selection.grid import grid_rules
        from sepo_data.selection.parse import parse_rule
        from sepo_data.selection.select import select_many
        from sepo_data.selection.selection import Selection
        from sepo_data.selection.soft_weights import parse_weights
        from sepo_data.stages.directory import MANIFEST

        sides = {side: amount for side, amount in (("chosen", chosen), ("rejected", rejected)) if amount}
        if grid and sides:
            raise typer.BadParameter("write the amounts in --grid: 'chosen=10%,30% rejected=30%'")
        if grid and (out / MANIFEST).exists():
            raise RefusedError(f"{out} is a dataset, --grid makes a directory of several", "choose another --out")
        rules = {out / name: made for name, made in grid_rules(rule, grid).items()} if grid else None
        filters = Filters(
            skip=_names(skip),
            protect=_names(protect),
            min_tokens=min_tokens,
            max_tokens=max_tokens,
            window=window,
            whole_words=whole_words,
        )
        soft = parse_weights(weights) if weights else None
        selections = {
            path: Selection(made, filters, soft) for path, made in (rules or {out: parse_rule(rule, sides)}).items()
        }
        for path in selections:
            _confirm(path, overwrite=overwrite and not dry_run, yes=yes)
        manifests = select_many(rewards, selections, overwrite=overwrite, dry_run=dry_run, progress=terminal)
        if not dry_run:
            terminal.note(f"next: sepo train {quote(str(next(iter(selections))))} --policy MODEL --out policy/")
    _answers(list(zip(selections, manifests, strict=True)), as_json=json, dry_run=dry_run)


@app.command(
    epilog=_examples(
        "sepo train selection/ --policy HuggingFaceTB/SmolLM2-135M-Instruct --holdout 20% --out policy/",
        "sepo train selection/ --policy big-model/ --lora-r 16 --lr 1e-5 --gradient-checkpointing --out policy/",
    )
)
@_trains
def train(
    selection: Annotated[
        Path, typer.Argument(parser=_stage_folder, metavar="SELECTION", help="a directory that `sepo select` wrote")
    ],
    training: dict[str, Any],
    policy: Annotated[str, typer.Option(help="the model to train: a folder, a Hub id or a .gguf file")],
    out: Out,
    loss: Annotated[Loss, typer.Option(help="what is minimised, over the selected tokens")] = Loss.SEPO,
    gamma: Annotated[
        float | None, typer.Option(parser=_positive, metavar="NUMBER", help="sepo: scale of the implicit reward; 2")
    ] = None,
    target_margin: Annotated[
        float | None,
        typer.Option(parser=_finite, metavar="NUMBER", help="sepo, simpo: by how much chosen should lead; 0, 1"),
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option(
            parser=_positive, metavar="NUMBER", help="dpo, ipo, kto, cpo, orpo: strength; 0.1. simpo: scale; 2"
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(parser=_finite, metavar="NUMBER", help="cpo, rrhf: weight of log p(chosen); 1"),
    ] = None,
    ref_logps: Annotated[
        str,
        typer.Option(metavar="stored|policy|DIR", help="dpo, ipo, kto: the reference's, as `sepo score` wrote them"),
    ] = "policy",
    holdout: Annotated[
        int, typer.Option(parser=_share_or_none, metavar="SHARE", help="share of prompts kept out and measured")
    ] = "0%",  # type: ignore[assignment]
    eval_steps: Annotated[int, typer.Option(min=0, help="optimizer steps between looks at the held-out pairs")] = 0,
    limit: Limit = None,
    resume: Resume = False,
    push: Annotated[
        str | None, typer.Option(metavar="USER/NAME", help="upload the result to this Hub repository")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="let everybody see what --push uploads")] = False,
    overwrite: Overwrite = False,
    yes: Yes = False,
    json: AsJson = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> None:
    """Train a policy on the selected tokens alone.

    No reference model takes part, unless the loss compares with one. The result is a plain transformers checkpoint,
    with the metrics of every step and their curve beside it.
    """
    with _training_stage(out, overwrite=overwrite, yes=yes, quiet=quiet, no_progress=no_progress) as (terminal, first):
        from sepo_train.publishing.push import check_push
        from sepo_train.publishing.push import push as push_to_hub
        from sepo_train.training.objectives import objective
        from sepo_train.training.policy import train as train_policy
        from sepo_train.training.run import Training

        if public and push is None:
            raise typer.BadParameter("nothing is uploaded without --push USER/NAME", param_hint="--public")
        if push is not None:
            check_push(push)
        manifest = train_policy(
            selection,
            out,
            policy=policy,
            training=Training(**training, eval_steps=eval_steps),
            objective=objective(loss.value, gamma=gamma, target_margin=target_margin, beta=beta, alpha=alpha),
            ref_logps=ref_logps,
            holdout=holdout,
            limit=limit,
            overwrite=overwrite,
            resume=resume,
            progress=terminal,
        )
        if push is not None and first:
            terminal.note(f"pushed to {push_to_hub(out, push, private=not public, progress=terminal)}")
        terminal.note(f"next: load it with AutoModelForCausalLM.from_pretrained({str(out)!r})")
    if first:
        _answer(out, manifest, as_json=json)


@app.command(
    epilog=_examples(
        "sepo evaluate policy/ --against ref/ --data selection/",
        "sepo evaluate policy/ --against ref/ --data user/dataset --split test --json",
        "sepo evaluate policy/ --against ref/ --data selection/ --generate questions.jsonl --out answers/",
        "sepo evaluate policy/ --against ref/ --data selection/ --generate p.jsonl --judge reward-model/ --out judged/",
    )
)
@_reads_preferences
def evaluate(
    reading: Reading,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="the model: a folder, a Hub id or a .gguf file")],
    dataset: Annotated[  # noqa: ARG001 - it is read as a part of `reading`
        list[str] | None,
        typer.Option("--data", metavar="DATASET", help="held-out pairs: rewards, a selection, or any preference data"),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="MODEL", help="the model to compare with, such as the one training started at")
    ] = None,
    generate: Annotated[
        str | None, typer.Option(metavar="PROMPTS", help="let both models answer these prompts, into --out")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="JUDGE", help="a reward model, or FILE.py:FUNCTION: who wins on --generate")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", parser=_local, metavar="PATH", help="directory to write")] = None,
    kl_samples: Annotated[
        int, typer.Option(min=0, metavar="N", help="answers that are sampled to estimate the KL divergence")
    ] = 64,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="tokens of an answer")] = 256,
    temperature: Annotated[
        float, typer.Option(parser=_not_negative, metavar="NUMBER", help="of --generate; 0 is greedy")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="of the samples, the bootstrap and --shuffle")] = 0,
    max_length: MaxLength = None,
    truncate: Truncate = None,
    dtype: Annotated[Dtype | None, typer.Option(help="of both models; float32 on a CPU, bfloat16 on a GPU")] = None,
    chat_template: ChatTemplate = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace another evaluation in --out")] = False,
    yes: Yes = False,
    json: AsJson = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> None:
    """Measure a model on held-out pairs, by itself or against another one.

    How often it prefers the chosen response and by how much, the KL divergence of the two models, lengths; with
    --generate their answers, for AlpacaEval and MT-Bench, and with --judge the win rate.
    """
    if out is not None:
        _confirm(out, overwrite=overwrite, yes=yes)
    goes_on = "the same command begins anew, and needs --overwrite where --out holds answers by now"
    with _stage(quiet=quiet, no_progress=no_progress, goes_on=goes_on) as terminal:
        from sepo_data.console.printable import printable
        from sepo_train.engine.generate import Generation
        from sepo_train.evaluation.evaluate import evaluate as measure
        from sepo_train.evaluation.report import evaluation_lines

        found = measure(
            model,
            reading,
            against=against,
            generate_from=generate,
            judge=judge,
            out=out,
            kl_samples=kl_samples,
            generation=Generation(max_new_tokens, temperature, seed),
            dtype=dtype.value if dtype else None,
            max_length=max_length,
            truncate=truncate.value if truncate else None,
            chat_template=chat_template,
            overwrite=overwrite,
            progress=terminal,
        )
    print(dumps(found) if json else "\n".join(printable(line) for line in evaluation_lines(found)))


@app.command(
    epilog=_examples(
        "sepo show selection/ --pair 3",
        "sepo show rewards/ --pair 3 --chosen 10% --rejected 10% --svg pair.svg",
    )
)
def show(
    directory: Annotated[
        Path,
        typer.Argument(
            parser=_stage_folder, metavar="DIR", help="a directory that `sepo score` or `sepo select` wrote"
        ),
    ],
    pair: Annotated[str, typer.Option(help="number of the pair, from 0, or its pair_id")] = "0",
    chosen: Annotated[
        int, typer.Option(parser=_share, metavar="SHARE", help="of a rewards directory: mark this top share")
    ] = "30%",  # type: ignore[assignment]
    rejected: Annotated[
        int, typer.Option(parser=_share, metavar="SHARE", help="of a rewards directory: mark this bottom share")
    ] = "30%",  # type: ignore[assignment]
    svg: Annotated[Path | None, typer.Option(help="write the picture to this file as well")] = None,
    json: AsJson = False,
) -> None:
    """Show the tokens of one pair, coloured by reward.

    Selected tokens are underlined; without colours they stand in [brackets].
    """
    from dataclasses import asdict

    from rich.console import Console

    from sepo_data.analysis.show import read_pair, render_pair
    from sepo_data.storage.atomic import write_text

    shown = read_pair(directory, pair, chosen=chosen, rejected=rejected)
    if svg is not None:
        drawing = Console(record=True, width=100, file=io.StringIO(), color_system="truecolor", no_color=False)
        drawing.print(render_pair(shown, colour=True))
        write_text(svg, drawing.export_svg(title=f"sepo show --pair {pair}"))
    if json:
        print(dumps(asdict(shown)))
        return
    console = Console(highlight=False)
    console.print(render_pair(shown, colour=console.color_system is not None and not console.no_color))


@app.command(epilog=_examples("sepo info rewards/", "sepo info rewards/ --json"))
def info(
    directory: Annotated[
        Path,
        typer.Argument(parser=_location, metavar="DIR", help="any directory that sepo wrote, finished or not"),
    ],
    json: AsJson = False,
) -> None:
    """Tell what a directory is and where it came from.

    Rows, tokens, rows set aside, models, options, versions: what its sepo.json says.
    """
    from sepo_data.analysis.info import lines, read_info
    from sepo_data.console.printable import printable

    manifest = read_info(directory)
    if json:
        _answer(directory, manifest, as_json=True)
        return
    for label, text in lines(manifest, directory):
        print(printable(f"{label:<12} {text}"))


@app.command(epilog=_examples("sepo config", "sepo --config sepo.toml config --json"))
def config(context: typer.Context, json: AsJson = False) -> None:
    """Print every option's value and where it comes from.

    From the environment, from the file that `sepo --config` names, or the default: what a command would do that is
    called without that option.
    """
    answer: dict[str, dict[str, Any]] = {}
    for name, command in _commands(context).items():
        called = typer.Context(command, info_name=name, parent=context.parent)
        for option in command.params:
            value, source = option.consume_value(called, {})
            if option.param_type_name == "option" and option.name:
                origin = {"DEFAULT_MAP": "file"}.get(source.name, source.name.lower())
                answer.setdefault(name, {})[option.name] = {"value": value, "source": origin}
    if json:
        print(dumps(answer))
        return
    for name, options in answer.items():
        for option_name, found in options.items():
            value = "-" if found["value"] is None else dumps(found["value"])
            print(f"{name + '.' + option_name:<30} {value:<12} {found['source']}")


@app.command(epilog=_examples("sepo env"))
def env(json: AsJson = False) -> None:
    """Print versions and hardware, for a bug report."""
    from sepo_train.models.environment import environment

    found = environment()
    print(dumps(found) if json else "\n".join(f"{name:<12} {text}" for name, text in found.items()))


class TableFormat(StrEnum):
    TABLE = "table"
    NDJSON = "ndjson"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


@app.command(
    epilog=_examples(
        'sepo query rewards/ "SELECT side, AVG(reward) AS reward FROM tokens GROUP BY side"',
        "sepo query rewards/ @tokens-that-gain",
        "sepo query --table a=top30/ --table b=top50/ @agreement --out agreement.csv",
    )
)
def query(
    directory: Annotated[
        str | None, typer.Argument(metavar="DIR", help="a directory that `sepo score` or `sepo select` wrote")
    ] = None,
    sql: Annotated[
        str | None, typer.Argument(metavar="SQL", help="a query, @NAME of one that ships, or - for standard input")
    ] = None,
    table: Annotated[
        list[str] | None, typer.Option(metavar="NAME=DIR", help="a further directory by a name; may be repeated")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="read the query from this file")] = None,
    format: Annotated[  # noqa: A002 - the option's name
        TableFormat | None, typer.Option(help="by the name of --out; else a table on a terminal, ndjson in a pipe")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="file to write, instead of standard output")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="show the tables and their columns")] = False,
    listing: Annotated[bool, typer.Option("--list", help="show the queries that ship; with @NAME, its SQL")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the file in --out")] = False,
) -> None:
    """Ask rewards and selections in SQL.

    `pairs` has a row a pair, `tokens` a row a token, `vocabulary` a row a token id; a directory that --table calls `a`
    has `a`, `a_tokens` and `a_vocabulary`. Nothing but reading is possible.
    """
    if listing:
        from sepo_data.analysis.named_queries import listing as list_queries

        named = next((text for text in (directory, sql) if text and text.startswith("@")), None)
        print("\n".join(list_queries(named)))
        return
    if table and sql is None and file is None and not schema:
        directory, sql = None, directory  # every directory has a name
    if not schema and (sql is None) == (file is None):
        raise typer.BadParameter("give one query: SQL, @NAME, - for standard input, or --file")
    text = _query_text(sql, file)

    from sepo_data.analysis.query import query as ask
    from sepo_data.analysis.query import schema_of
    from sepo_data.analysis.table_output import Format, default_format, write, write_file

    tables = _tables(directory, table or [])
    answer = schema_of(tables).lazy() if schema else ask(text, tables)
    terminal = sys.stdout.isatty()
    chosen = Format(format.value) if format else default_format(out, terminal=terminal)
    if out is not None:
        note = write_file(answer, out, chosen, overwrite=overwrite)
        print(out)
    elif chosen is Format.PARQUET and terminal:
        raise SepoError("Parquet is not for a terminal", "add --out FILE, or pipe it on")
    else:
        width = shutil.get_terminal_size().columns if terminal else None
        note = write(answer, sys.stdout.buffer, chosen, width=width)
    if note:
        sys.stderr.write(f"{note}\n")


@app.command(epilog=_examples("sepo diff rewards_small/ rewards_large/", "sepo diff top30/ top50/ --pairs 3"))
def diff(
    a: Annotated[
        Path,
        typer.Argument(parser=_stage_folder, metavar="A", help="a directory that `sepo score` or `sepo select` wrote"),
    ],
    b: Annotated[Path, typer.Argument(parser=_stage_folder, metavar="B", help="another one, of the same data")],
    pairs: Annotated[int, typer.Option(min=0, help="show so many of the pairs that differ most")] = 10,
    json: AsJson = False,
) -> None:
    """Compare two oracles, or two selections, on the same pairs.

    Rank correlation of the rewards within a response, overlap of the tokens that each would select, and the pairs that
    differ most: does an oracle of a part of the data choose the same tokens?
    """
    from dataclasses import asdict

    from sepo_data.analysis.diff import diff as compare
    from sepo_data.analysis.diff import report

    found = compare(a, b, pairs=pairs)
    print(dumps(asdict(found)) if json else "\n".join(report(found)))


def _query_text(sql: str | None, file: Path | None) -> str:
    if file is None and sql != "-":
        return sql or ""
    try:
        return (file.read_bytes() if file else sys.stdin.buffer.read()).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SepoError(f"{file or 'standard input'} is not UTF-8", "save the query as UTF-8") from None


def _tables(directory: str | None, named: list[str]) -> dict[str, str]:
    tables = {} if directory is None else {"pairs": str(_stage_folder(directory))}
    for entry in named:
        name, _, folder = entry.partition("=")
        if not folder or name in tables:
            raise typer.BadParameter(f"{entry!r}: write NAME=DIR, each name once", param_hint="--table")
        tables[name] = str(_stage_folder(folder))
    return tables


def main() -> NoReturn:
    """Run the command; every way to fail ends in one place, with the exit code that `sepo --help` documents."""
    _hush()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot spell is no reason to stop
    try:
        app()
    except SepoError as error:
        _fail(str(error), error.hint, error.exit_code)
    except OSError as error:
        # With a number it is the system's answer to what the user asked for: a full disk, a path that is not there.
        if error.errno is None and not isinstance(error, shutil.Error):
            _bug()
        where = error.filename2 or error.filename
        what = error.strerror or (error.args[0][0][-1] if isinstance(error, shutil.Error) else error)
        _fail(f"{where}: {what}" if where else str(what), MENDABLE)
    except Exception as error:  # noqa: BLE001 - the last resort
        if os.strerror(errno.ENOSPC) not in str(error):  # safetensors has an error of its own for a full disk
            _bug()
        _fail(str(error), MENDABLE)
    sys.exit(0)


def _hush() -> None:
    """Keep the bars, advice and warnings of libraries off the user's terminal; they read this when imported."""
    if os.environ.get("SEPO_DEBUG"):
        return
    logging.captureWarnings(capture=True)
    logging.disable(logging.ERROR)
    for switch in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):
        os.environ.setdefault(switch, "1")


def _fail(message: str, hint: str, code: int = 1) -> NoReturn:
    if os.environ.get("SEPO_DEBUG"):
        traceback.print_exc()
    from sepo_data.console.printable import printable

    sys.stderr.write(printable(f"Error: {message}\n" + (f"Hint: {hint}\n" if hint else "")))
    sys.exit(code)


def _bug() -> NoReturn:
    traceback.print_exc()
    sys.stderr.write(f"This is a bug in sepo. Please report it with the lines above: {ISSUES}\n")
    sys.exit(70)


@contextmanager
def _stage(*, quiet: bool, no_progress: bool, goes_on: str = SHARDS_GO_ON) -> Iterator[Terminal]:
    from sepo_data.console.terminal import Terminal

    with Terminal(quiet=quiet, bars=not no_progress) as terminal:
        try:
            yield terminal
        except KeyboardInterrupt:
            terminal.note(f"interrupted; {goes_on}")
            raise


@contextmanager
def _training_stage(
    out: Path, *, overwrite: bool, yes: bool, quiet: bool, no_progress: bool
) -> Iterator[tuple[Terminal, bool]]:
    """Of the processes that train together, which leave together, the first one alone asks, speaks and answers."""
    from sepo_train.scoring.ranks import current_rank

    if first := current_rank().first:
        _confirm(out, overwrite=overwrite, yes=yes)
    with _stage(quiet=quiet or not first, no_progress=no_progress, goes_on=CHECKPOINTS_GO_ON) as terminal:
        yield terminal, first
        from sepo_train.training.processes import leave_together

        leave_together()


def _confirm(out: Path, *, overwrite: bool, yes: bool) -> None:
    if not overwrite or yes or not out.exists():
        return
    if not sys.stdin.isatty():
        raise RefusedError(f"--overwrite would delete {out}", "add --yes to do so without being asked")
    typer.confirm(f"Delete {out} and start again?", abort=True, err=True)


def _typed(reading: Reading) -> str:
    """The dataset and how it is read, as somebody would type it."""
    parts = [f"{name}={weight:g}" for name, weight in reading.mix]
    words = ["--mix", *parts] if parts else [reading.dataset]
    for option in fields(Reading):
        value = getattr(reading, option.name)
        if option.name in {"dataset", "mix", "keep"} or not value or value == option.default:
            continue
        roles = [",".join(f"{role}={column}" for role, column in value.items())] if option.name == "columns" else None
        words += [f"--{option.name}", *(roles or ([] if value is True else [str(value)]))]
    return " ".join(map(quote, words))


def _tell_skipped(terminal: Terminal, used: str, reasons: dict[str, int], out: Path) -> None:
    from sepo_data.preferences.skipped import reasons_text

    where = f"; {out}/skipped.jsonl has each row and why" if reasons else ""
    terminal.note(f"{used}, {reasons_text(reasons)}{where}")


def _report_skipped(terminal: Terminal, manifest: Manifest, out: Path, allowed: int) -> None:
    from sepo_data.preferences.skipped import bad_count

    reasons = manifest.total("skipped")
    _tell_skipped(terminal, f"{manifest.rows:,} pairs scored", reasons, out)
    if (count := bad_count(reasons)) > allowed:
        raise SepoError(
            f"{count:,} of {manifest.input.rows:,} rows were set aside, --max-skipped allows {allowed:,}",
            f"{out} is whole, and {out}/skipped.jsonl says why; accept it with --max-skipped {count}",
        )


def _answer(out: Path, manifest: Manifest, *, as_json: bool, dry_run: bool = False) -> None:
    _answers([(out, manifest)], as_json=as_json, dry_run=dry_run)


def _answers(made: list[tuple[Path, Manifest]], *, as_json: bool, dry_run: bool) -> None:
    """The answer of a command that wrote one directory, or a list of them."""
    if not as_json and not dry_run:
        print("\n".join(str(out) for out, _ in made))
        return
    from sepo_data.analysis.info import planned, summary

    answers = [planned(out, manifest) if dry_run else summary(out, manifest) for out, manifest in made]
    print(dumps(answers[0] if len(answers) == 1 else {"selections": answers}, indent=None if as_json else 2))


def _commands(context: typer.Context) -> dict[str, typer.core.TyperCommand]:
    group = context.find_root().command
    commands = group.commands if isinstance(group, typer.core.TyperGroup) else {}
    return {name: command for name, command in commands.items() if isinstance(command, typer.core.TyperCommand)}


if __name__ == "__main__":
    main()
