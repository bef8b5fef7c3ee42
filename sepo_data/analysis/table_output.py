"""A frame as text or bytes: a table for people, ndjson, JSON, CSV and Parquet for programs."""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import polars as pl

from sepo_data.analysis.csv_output import write_csv
from sepo_data.analysis.output_file import new_file
from sepo_data.analysis.sql.errors import data_error
from sepo_data.console.text import aligned_columns, spelt_out, terminal_width
from sepo_data.errors import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sepo_data.analysis.table_format import TableFormat

TABLE_ROWS = 40
CELL_CHARACTERS = 60


def write_file(
    frame: pl.LazyFrame, out: Path, form: TableFormat, *, overwrite: bool = False, csv_safe: bool = False
) -> str:
    """Write the file `out` atomically; returns a note for people, as `write` does."""
    with new_file(out, overwrite=overwrite) as file:
        cut = write(frame, file, form, csv_safe=csv_safe)
    return f"the first {TABLE_ROWS} rows; an --out of .ndjson, .csv or .parquet gives all" if cut else ""


def write(
    frame: pl.LazyFrame, stream: BinaryIO, form: TableFormat, *, width: int | None = None, csv_safe: bool = False
) -> str:
    """Compute `frame` and write it to `stream`; returns a note for people, or "".

    ndjson, CSV and Parquet are written as they are computed; JSON holds the whole answer in memory. NaN and infinite
    values are null in JSON, which cannot hold them. A table has at most 40 rows; rows that do not fit into `width`
    characters are written one value a line. `csv_safe` is for spreadsheets, see `write_csv`.

    Raises:
        SepoError: the query fails on the data, or CSV would have to hold lists.
    """
    with _query_errors():
        match form:
            case "table":
                return _write_table(frame.head(TABLE_ROWS + 1).collect(), stream, width)
            case "ndjson":
                frame.sink_ndjson(stream)
            case "json":
                _write_all(stream, frame.collect().write_json().encode() + b"\n")
            case "csv":
                write_csv(frame, stream, safe=csv_safe)
            case "parquet":
                frame.sink_parquet(stream)
    return ""


def _write_all(stream: BinaryIO, data: bytes) -> None:
    """An unbuffered stream, as standard output with PYTHONUNBUFFERED, may take only a part at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) :]


@contextmanager
def _query_errors() -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        first = first_line(error)
        if number := re.search(r"IO error: .*\(os error (\d+)\)$", first):  # of a Parquet file
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from None
        raise data_error(error) from error
    except OSError as error:
        # Polars leaves the number of a system error in its text; a closed pipe and a full disk are recognised by it.
        if error.errno is None and (number := re.search(r"\(os error (\d+)\)", str(error))):
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from None
        raise


def table_lines(frame: pl.DataFrame, width: int | None = None) -> list[str]:
    """The rows of `frame` under the names of its columns; one value a line where they are wider than `width`."""
    names = list(map(_cell, frame.columns))
    rows = [[_cell(value) for value in row] for row in frame.rows()]
    lines = _grid(names, rows, [kind.is_numeric() for kind in frame.dtypes])
    too_wide = width is not None and rows and max(map(terminal_width, lines)) > width
    return _records(names, rows) if too_wide else lines


def _write_table(frame: pl.DataFrame, stream: BinaryIO, width: int | None) -> str:
    lines = table_lines(frame.head(TABLE_ROWS), width)
    _write_all(stream, "".join(f"{line}\n" for line in lines).encode())
    if frame.height > TABLE_ROWS:
        return f"the first {TABLE_ROWS} rows; --format ndjson or --out FILE gives all"
    return ""


def _grid(names: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Columns side by side under their names; numbers to the right."""
    widths = [max(map(terminal_width, column)) for column in zip(names, *rows, strict=True)]
    rules = ["-" * width for width in widths]
    return aligned_columns([names, rules, *rows], right=[at for at, number in enumerate(right) if number])


def _records(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """One value a line, the number of the row on a line before them."""
    lines = []
    for number, row in enumerate(rows):
        lines.append(f"-- row {number} --")
        lines += aligned_columns(list(zip(names, row, strict=True)), right=())
    return lines


def _cell(value: object) -> str:
    text = _text(value)
    return text if len(text) <= CELL_CHARACTERS else f"{text[: CELL_CHARACTERS - 3]}..."


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
            return _visible(str(value))


def _visible(text: str) -> str:
    """Text as it is, or in quotes where blanks or control characters would be missed."""
    escaped = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in spelt_out(text))
    return text if text and text == escaped == text.strip() else f'"{escaped}"'
