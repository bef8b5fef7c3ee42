"""The formats in which `sepo query` writes an answer; this module imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from pathlib import Path

TableFormat = Literal["table", "ndjson", "json", "csv", "parquet"]

FORMATS: tuple[TableFormat, ...] = get_args(TableFormat)
SUFFIXES: dict[str, TableFormat] = {".jsonl": "ndjson", ".txt": "table", **{f".{name}": name for name in FORMATS}}


def chosen_format(form: TableFormat | None, out: Path | None, *, terminal: bool) -> TableFormat:
    """The format `form`, or without one the default.

    Raises:
        SepoError: the suffix of `out` is that of another format, or `form` is not given and it is that of none.
    """
    by_suffix = None if out is None else SUFFIXES.get(out.suffix.lower())
    if form and by_suffix not in {None, form}:
        raise SepoError(f"{out} ends as {by_suffix} does, and --format is {form}", "leave one of the two out")
    return form or default_format(out, terminal=terminal)


def default_format(out: Path | None, *, terminal: bool) -> TableFormat:
    """By the suffix of the file to write; else a table for a terminal and ndjson, which holds lists, for a pipe."""
    if out is None:
        return "table" if terminal else "ndjson"
    from sepo_data.analysis.output_file import format_of

    return format_of(out, SUFFIXES, " or give --format")
