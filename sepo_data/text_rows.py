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
MARK_ROWS = 1000  # rows of a file of JSON lines between two places at which reading can begin


def read_json_lines(path: Path) -> Table:
    """Reading begins at the row that is asked for, not at the first: shard after shard, a file is read once."""
    marks: list[tuple[int, int]] = []
    rows = 0
    for rows, (line, byte, _text) in enumerate(_lines(path), 1):
        if rows % MARK_ROWS == 1:
            marks.append((line, byte))

    def read(start: int, stop: int) -> Iterator[Row]:
        if start >= rows:
            return
        mark = start // MARK_ROWS
        items = islice(_lines(path, *marks[mark]), start - mark * MARK_ROWS, stop - mark * MARK_ROWS)
        for number, (line, _byte, text) in enumerate(items, start):
            yield _json_row(number, f"{path.name} line {line}", text)

    return Table(_columns(read), rows, read)


def read_json(path: Path) -> Table:
    """An array of objects, or JSON lines: many a file called .json holds those, and only an array opens with `[`."""
    with _opened(path) as handle:
        array = handle.read(1000).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")
    return _json_array(path) if array else read_json_lines(path)


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


# JSON. The items of an array are (line number, value).


def _json_array(path: Path) -> Table:
    def read(start: int, stop: int) -> Iterator[Row]:
        for number, (line, item) in enumerate(islice(_array_items(path), start, stop), start):
            yield _json_row(number, f"{path.name} line {line}", item)

    return Table(_columns(read), sum(1 for _ in _array_items(path)), read)


def _columns(read: Callable[[int, int], Iterator[Row]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for row in read(0, COLUMN_ROWS) for key in row.value or ()))


def _lines(path: Path, first: int = 1, byte: int = 0) -> Iterator[tuple[int, int, bytes]]:
    """(number, place, text) of the lines that are not blank, from line `first` on, which begins at `byte`."""
    with _opened(path) as handle:
        handle.seek(byte)
        for number, line in enumerate(handle, first):
            text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if text.strip():
                yield number, byte, text
            byte += len(line)


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
