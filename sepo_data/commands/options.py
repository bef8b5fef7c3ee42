"""Options that several commands have, and the parsers of their values.

What comes from a configuration file is a value, not a text: hence the `str()` and `float()` of the parsers.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sepo_data.commands.grouped_help import INPUT, OUTPUT, RUN
from sepo_data.errors import SepoError
from sepo_data.preferences.holdout import HoldoutSize, parse_holdout
from sepo_data.preferences.skipped import OnBadRow, Truncate, TruncateOrNone

if TYPE_CHECKING:
    from collections.abc import Callable


def option(panel: str, *names: str, **settings: Any) -> Any:  # noqa: ANN401 - what Typer returns and takes
    """Declare an option that help prints under the heading `panel`; the rest is as in `typer.Option`."""
    return typer.Option(*names, rich_help_panel=panel, show_envvar=False, **settings)


def argument(metavar: str, **settings: Any) -> Any:  # noqa: ANN401 - what Typer returns and takes
    """Declare a positional argument; help prints it with the input."""
    return typer.Argument(metavar=metavar, rich_help_panel=INPUT, show_envvar=False, **settings)


def examples(*commands: str) -> str:
    """Format the end of a command's help, one example a line."""
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)


def parse_share(text: str) -> str:
    """Check a share such as `30%` or `0.3`."""
    from sepo_data.share import format_share
    from sepo_data.share import parse_share as parse

    try:
        return format_share(parse(str(text)))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def parse_holdout_size(text: str) -> HoldoutSize:
    """Parse the size of a holdout: a number of pairs (`2000`) or a share of them (`5%`, `0.05`)."""
    try:
        return parse_holdout(str(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def parse_row_limit(text: str) -> str:
    """Check a limit of rows: a number (`20`) or a share (`1%`)."""
    from sepo_data.preferences.skipped import rows_allowed

    try:
        rows_allowed(str(text), 0)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return str(text)


def parse_template_date(text: str) -> str:
    """Check a date of the form `2024-07-26`."""
    from sepo_data.tokenization.template_date import read_template_date

    try:
        return read_template_date(str(text)).isoformat()
    except SepoError as error:
        raise typer.BadParameter(f"{error}; {error.hint}") from None


def parse_quota(text: str) -> str:
    """Check a quota of tokens such as `30%` or `16t`; some rules take a share alone."""
    from sepo_data.selection.quota import parse_quota as parse

    try:
        return str(text) and str(parse(str(text)))
    except SepoError as error:
        raise typer.BadParameter(f"{error}; {error.hint}") from None


def parse_names(text: str) -> tuple[str, ...]:
    """Parse names between commas."""
    return tuple(name.strip() for name in str(text).split(",") if name.strip())


def parse_location(text: str) -> Path:
    """Parse a path on this machine or the address of an object in a store."""
    from sepo_data.storage.location import location

    try:
        str(text).encode()
    except UnicodeEncodeError:
        raise typer.BadParameter(f"{str(text)!r} is not UTF-8, and Arrow and safetensors open no other names") from None
    return location(str(text))


def parse_local_folder(text: str) -> Path:
    """Parse a path that has to be on this machine."""
    from sepo_data.storage.location import is_remote

    if is_remote(folder := parse_location(text)):
        raise typer.BadParameter(f"{folder}: models are written to a folder on this machine")
    return folder


def parse_stage_folder(text: str) -> Path:
    """Parse a stage directory to read; one in a store is downloaded and its copy on this machine returned."""
    from sepo_data.storage.location import is_remote

    if not is_remote(folder := parse_location(text)):
        return folder
    from sepo_data.stages.scan import fetched_stage

    return fetched_stage(folder)


def parse_finite(text: str) -> float:
    """Parse a number that is neither infinite nor nan."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise typer.BadParameter(f"{text!r} is not a number")
    return number


def parse_not_negative(text: str) -> float:
    """Parse a finite number of at least 0."""
    number = parse_finite(text)
    if number < 0:
        raise typer.BadParameter(f"{text!r} is below 0")
    return number


def parse_positive(text: str) -> float:
    """Parse a finite number above 0."""
    number = parse_finite(text)
    if number <= 0:
        raise typer.BadParameter(f"{text!r} is not above 0")
    return number


def number(panel: str, *names: str, parser: Callable[[str], float] = parse_positive, **settings: Any) -> Any:  # noqa: ANN401
    """Declare an option that takes a real number."""
    return option(panel, *names, parser=parser, metavar="NUMBER", **settings)


Limit = Annotated[int | None, option(INPUT, min=1, help="read only N rows, for a first look")]
OnBadRows = Annotated[
    OnBadRow, option(INPUT, help="skip unusable rows (listed in skipped.jsonl), or fail at the first")
]
MaxLength = Annotated[
    int | None,
    option(INPUT, min=2, help="tokens of the prompt and one response at most; 2048 or the model's context by default"),
]
TruncateAt = Annotated[Truncate | None, option(INPUT, help="cut longer pairs there instead of skipping them")]
InheritedLength = Annotated[
    int | None,
    option(
        INPUT,
        min=2,
        help="tokens of the prompt and one response at most; by default as in training, or 2048 or the model's context",
    ),
]
InheritedTruncate = Annotated[
    TruncateOrNone | None,
    option(INPUT, help="cut longer pairs there; by default as in training; none: skip them"),
]
InheritedTemplate = Annotated[
    Path | None,
    option(INPUT, metavar="FILE", help="a Jinja file, instead of the chat template that the model was trained with"),
]
ChatTemplate = Annotated[
    Path | None, option(INPUT, metavar="FILE", help="a Jinja file, instead of the tokenizer's own chat template")
]
TemplateDate = Annotated[
    str | None,
    option(
        INPUT,
        parser=parse_template_date,
        metavar="DATE",
        help="day (2024-07-26) that the chat template takes for today; as in training, or the day it is by default",
    ),
]
StageDir = Annotated[
    Path, argument("DIR", parser=parse_stage_folder, help="a directory that `sepo score` or `sepo select` wrote")
]
Out = Annotated[Path, option(OUTPUT, "--out", parser=parse_local_folder, metavar="PATH", help="directory to write")]
StageOut = Annotated[
    Path,
    option(
        OUTPUT, "--out", parser=parse_location, metavar="PATH", help="directory to write, here or s3://, gs://, ..."
    ),
]
Overwrite = Annotated[bool, option(OUTPUT, "--overwrite", help="replace another run in --out")]
Yes = Annotated[bool, option(OUTPUT, "--yes", help="delete without asking under --overwrite")]
AsJson = Annotated[bool, option(OUTPUT, "--json", help="print the answer as one JSON object")]
DryRun = Annotated[bool, option(RUN, "--dry-run", help="check and count only: load no weights, write nothing")]
Quiet = Annotated[bool, option(RUN, "--quiet", "-q", help="print errors only")]
NoVerify = Annotated[
    bool, option(RUN, "--no-verify", help="do not compare the hashes of the shards that are read with the manifest")
]
NoProgress = Annotated[bool, option(RUN, "--no-progress", help="plain lines instead of a bar")]
