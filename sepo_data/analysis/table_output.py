"""A frame as text or bytes: a table for people, ndjson, JSON, CSV and Parquet for programs."""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, BinaryIO

import polars as pl

from sepo_data.console.suggest import listed
from sepo_data.errors import RefusedError, SepoError
from sepo_data.stages.directory import MANIFEST
from sepo_data.storage.atomic import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

TABLE_ROWS = 40
CELL = 60  # characters of a cell of a table


class Format(StrEnum):
    """How a frame is written."""

    TABLE = "table"
    NDJSON = "ndjson"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


SUFFIXES = {".jsonl": Format.NDJSON, ".txt": Format.TABLE} | {f".{name}": name for name in Format}


def default_format(out: Path | None, *, terminal: bool) -> Format:
    """By the name of the file to write; else a table for a terminal and ndjson, which holds lists, for a pipe."""
    if out is None:
        return Format.TABLE if terminal else Format.NDJSON
    if out.suffix not in SUFFIXES:
        raise SepoError(
            f"{out}: the name does not tell the format", f"end it in {', '.join(SUFFIXES)} or give --format"
        )
    return SUFFIXES[out.suffix]


def write_file(frame: pl.LazyFrame, out: Path, form: Format, *, overwrite: bool = False) -> str:
    """Write the file `out` atomically; a note for people comes back. See `write`."""
    if out.exists() and not out.is_file():
        raise RefusedError(f"{out} is not a file", "choose another --out")
    if dataset := next((folder for folder in out.resolve().parents if (folder / MANIFEST).exists()), None):
        raise RefusedError(f"{out} is inside {dataset}, a directory of sepo's", "choose another --out")
    if out.exists() and not overwrite:
        raise RefusedError(f"{out} exists", "choose another --out, or replace it with --overwrite")
    if not out.parent.is_dir():
        raise SepoError(f"{out.parent} is no directory", "make it first, or choose another --out")
    with atomic_write(out) as file:
        return write(frame, file, form)


def write(frame: pl.LazyFrame, stream: BinaryIO, form: Format, *, width: int | None = None) -> str:
    """Compute `frame` and write it to `stream`; a note for people comes back, empty where there is nothing to say.

    ndjson, CSV and Parquet are written as they are computed; JSON holds the whole answer in memory. NaN and infinite
    values are null in JSON, which has no word for them. A table has at most 40 rows; rows that do not fit into `width`
    characters are written one value a line.

    Raises:
        SepoError: the query fails on the data, or CSV would have to hold lists.
    """
    with _failures_named():
        match form:
            case Format.TABLE:
                return _write_table(frame.head(TABLE_ROWS + 1).collect(), stream, width)
            case Format.NDJSON:
                frame.sink_ndjson(stream)
            case Format.JSON:
                _write_all(stream, frame.collect().write_json().encode() + b"\n")
            case Format.CSV:
                nested = [name for name, kind in frame.collect_schema().items() if kind.is_nested()]
                if nested:
                    raise SepoError(
                        f"CSV has no lists, and {listed(nested)} would be lists",
                        "use --format ndjson, or select what you need of them, such as array_length(chosen_ids)",
                    )
                frame.sink_csv(stream)
            case Format.PARQUET:
                frame.sink_parquet(stream)
    return ""


def _write_all(stream: BinaryIO, data: bytes) -> None:
    """An unbuffered stream, as standard output with PYTHONUNBUFFERED, may take only a part at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) :]


@contextmanager
def _failures_named() -> Iterator[None]:
    try:
        yield
    except pl.exceptions.PolarsError as error:
        first = str(error).splitlines()[0]
        if number := re.search(r"IO error: .*\(os error (\d+)\)$", first):  # of a Parquet file
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from None
        raise SepoError(f"the query failed: {first}") from error
    except OSError as error:
        # Polars leaves the number of a system's error in its text; with it a closed pipe and a full disk are known.
        if error.errno is None and (number := re.search(r"\(os error (\d+)\)", str(error))):
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from None
        raise


def table_lines(frame: pl.DataFrame, width: int | None = None) -> list[str]:
    """The rows of `frame` under the names of its columns; one value a line where they are wider than `width`."""
    rows = [[_cell(value) for value in row] for row in frame.rows()]
    lines = _grid(frame.columns, rows, [kind.is_numeric() for kind in frame.dtypes])
    return _records(frame.columns, rows) if width is not None and rows and max(map(_length, lines)) > width else lines


def _write_table(frame: pl.DataFrame, stream: BinaryIO, width: int | None) -> str:
    lines = table_lines(frame.head(TABLE_ROWS), width)
    _write_all(stream, "".join(f"{line}\n" for line in lines).encode())
    if frame.height > TABLE_ROWS:
        return f"the first {TABLE_ROWS} rows; --format ndjson or --out FILE gives all"
    return ""


def _grid(names: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Columns side by side under their names; numbers to the right."""
    widths = [max(map(_length, column)) for column in zip(names, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [
            " " * (width - _length(cell)) + cell if number else cell + " " * (width - _length(cell))
            for cell, width, number in zip(cells, widths, right, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return [line(names), "  ".join("-" * width for width in widths), *map(line, rows)]


def _records(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """One value a line, a line of its number before each row."""
    longest = max(map(_length, names))
    lines = []
    for number, row in enumerate(rows):
        lines.append(f"-- row {number} --")
        lines += [
            f"{name}{' ' * (longest - _length(name))}  {cell}".rstrip() for name, cell in zip(names, row, strict=True)
        ]
    return lines


def _cell(value: object) -> str:
    text = _text(value)
    return text if len(text) <= CELL else f"{text[: CELL - 3]}..."


def _text(value: Any) -> str:  # noqa: ANN401 - whatever Polars holds
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.6g}"
        case str():
            return _visible(value)
        case list() | dict():
            return _visible(json.dumps(value, ensure_ascii=False, default=str))
        case _:
            return str(value)


def _visible(text: str) -> str:
    """Text as it is, or in quotes where blanks or characters that a terminal acts on would be missed."""
    if text and text.isprintable() and text == text.strip():
        return text
    escaped = (letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
    return f'"{"".join(escaped)}"'


def _length(text: str) -> int:
    """Columns of a terminal that the text takes."""
    from rich.cells import cell_len

    return len(text) if text.isascii() else cell_len(text)
