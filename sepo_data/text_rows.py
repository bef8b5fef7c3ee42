"""Rows of JSON lines, JSON arrays and CSV, gzipped or not. A bad row is a Row, only a bad file is an error."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import zlib
from contextlib import contextmanager
from itertools import islice
from typing import IO, TYPE_CHECKING, cast

from schemas.errors import SepoError
from sepo_data.json_array import array_items
from sepo_data.rows import Row, Table, refuse_twins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COLUMN_ROWS = 1000  # rows of a JSON file whose keys are its columns


def read_json_lines(path: Path) -> Table:
    return _json_table(path, _lines)


def read_json(path: Path) -> Table:
    """An array of objects, or JSON lines: many a file called .json holds those, and only an array opens with `[`."""
    with _opened(path) as handle:
        array = handle.read(1000).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")
    return _json_table(path, _array_items if array else _lines)


def read_csv(path: Path) -> Table:
    """The first record names the columns."""
    columns = tuple(next((fields for _, fields in _csv_records(path)), []))
    refuse_twins(str(path), columns)

    def read(start: int, stop: int) -> Iterator[Row]:
        for number, (line, fields) in enumerate(islice(_csv_records(path), start + 1, stop + 1), start):
            yield _csv_row(number, f"{path.name} line {line}", columns, fields)

    return Table(columns, max(0, sum(1 for _ in _csv_records(path)) - 1), read)


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    position = 0
    try:
        with _open(path) as handle:
            try:
                yield handle
            except (OSError, EOFError, zlib.error):
                position = handle.tell()
                raise
    except (OSError, EOFError, zlib.error) as error:
        raise SepoError(f"{path} cannot be read beyond byte {position}: {error}") from error


# JSON. Items are (line number, bytes still to be parsed) or (line number, value).


def _json_table(path: Path, items: Callable[[Path], Iterator[tuple[int, object]]]) -> Table:
    def read(start: int, stop: int) -> Iterator[Row]:
        for number, (line, item) in enumerate(islice(items(path), start, stop), start):
            yield _json_row(number, f"{path.name} line {line}", item)

    columns = dict.fromkeys(key for row in read(0, COLUMN_ROWS) for key in row.value or ())
    return Table(tuple(columns), sum(1 for _ in items(path)), read)


def _lines(path: Path) -> Iterator[tuple[int, object]]:
    with _opened(path) as handle:
        for number, line in enumerate(handle, 1):
            text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if text.strip():
                yield number, text


def _array_items(path: Path) -> Iterator[tuple[int, object]]:
    decode = codecs.getincrementaldecoder("utf-8-sig")().decode
    with _opened(path) as handle:

        def read(size: int) -> str:
            data = handle.read(size)
            # Half a character may be all there is in a piece: "" would mean the end.
            return decode(data, final=not data) or (read(size) if data else "")

        try:
            yield from array_items(read)
        except UnicodeDecodeError as error:
            byte = handle.tell() - len(error.object) + error.start
            raise SepoError(f"{path} is not UTF-8: {error.reason} at byte {byte}") from error
        except ValueError as error:
            raise SepoError(f"{path} is not a JSON array of objects: {error}") from error


def _json_row(number: int, place: str, item: object) -> Row:
    if isinstance(item, bytes):
        try:
            item = json.loads(item.decode())
        except UnicodeDecodeError as error:
            return Row(number, None, "invalid_utf8", f"{place}: {error.reason} at byte {error.start} of the line")
        except json.JSONDecodeError as error:
            return Row(number, None, "invalid_json", f"{place}: {error.msg} at character {error.pos + 1} of the line")
        except (ValueError, RecursionError) as error:  # a number of 5000 digits, a hundred thousand brackets
            return Row(number, None, "invalid_json", f"{place}: {error}")
    if not isinstance(item, dict):
        return Row(number, None, "not_an_object", f"{place}: {type(item).__name__}")
    return Row(number, item, "", place)


# CSV


def _csv_records(path: Path) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(2**31 - 1)  # 128 kB by default, and a long conversation is longer
    with _opened(path) as handle:
        records = csv.reader(io.TextIOWrapper(handle, encoding="utf-8-sig", errors="surrogateescape", newline=""))
        line = 1
        try:
            for fields in records:
                if fields:
                    yield line, fields
                line = records.line_num + 1
        except csv.Error as error:
            raise SepoError(f"{path} line {line} is not CSV: {error}") from error


def _csv_row(number: int, place: str, columns: tuple[str, ...], fields: list[str]) -> Row:
    if len(fields) != len(columns):
        return Row(number, None, "wrong_number_of_fields", f"{place}: {len(fields)} fields for {len(columns)} columns")
    for column, value in zip(columns, fields, strict=True):
        if not value.isascii() and any("\udc80" <= character <= "\udcff" for character in value):
            return Row(number, None, "invalid_utf8", f"{place}: column {column}")
    return Row(number, dict(zip(columns, fields, strict=True)), "", place)
