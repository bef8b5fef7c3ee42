"""The formats in which `sepo query` writes an answer; this module imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from pathlib import Path

TableFormat = Literal["table", "ndjson", "json", "csv", "parquet"]

FORMATS: tuple[TableFormat, ...] = get_args(TableFormat)
SUFFIXES: dict[str, TableFormat] = {".jsonl": "ndjson", ".txt": "table", **{f".{name}": name for name in FORMATS}}


def default_format(out: Path | None, *, terminal: bool) -> TableFormat:
    """By the suffix of the file to write; else a table for a terminal and ndjson, which holds lists, for a pipe."""
    if out is None:
        return "table" if terminal else "ndjson"
    if out.suffix not in SUFFIXES:
        raise SepoError(
            f"{out}: no format has the suffix {out.suffix!r}", f"end it in {', '.join(SUFFIXES)} or give --format"
        )
    return SUFFIXES[out.suffix]
