"""Rows of CSV and TSV files; the first record names the columns. An unusable row is a Row, a damaged file an error."""

from __future__ import annotations

import codecs
import csv
import io
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from sepo_data.console.text import listed
from sepo_data.errors import SepoError
from sepo_data.readers.rows import DataFile, Row, Table, refuse_equal_columns
from sepo_data.readers.text_reader import (
    FIRST,
    MAX_ROW_BYTES,
    Place,
    TextFormat,
    is_utf8,
    open_text,
    size_in_utf8,
    text_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

Record = list[str] | csv.Error
"""The fields of a record, or the reason that it has none."""

DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe"}
"""The usual characters between fields, each with the name that `--delimiter` takes as well."""


def parse_delimiter(text: str) -> str:
    """The character between fields from itself or from its name.

    Raises:
        SepoError: it is neither.
    """
    named = {name: character for character, name in DELIMITERS.items()} | {"\\t": "\t"}
    character = named.get(text.strip().lower(), text)
    if len(character) != 1 or character in '\r\n"' or not is_utf8(character):
        raise SepoError(f"the delimiter {text!r} is no character", f"write one, or {listed(named)}")
    return character


def read_csv(file: DataFile, limit: int | None) -> Table:
    """The rows of a CSV file; every value is a string."""
    return _read(file, limit, ",")


def read_tsv(file: DataFile, limit: int | None) -> Table:
    """The rows of a TSV file: as CSV, quotes included, with a tab between fields."""
    return _read(file, limit, "\t")


def _read(file: DataFile, limit: int | None, usual: str) -> Table:
    delimiter = file.delimiter or usual
    _place, header = next(_records(delimiter, file, FIRST), (FIRST, []))
    if isinstance(header, csv.Error) or not is_utf8("".join(header)):
        raise SepoError(f"{file.address} does not begin with the names of its columns: {header}")
    _refuse_one_column(file, delimiter, header)
    refuse_equal_columns(file.address, header)
    columns = tuple(header)
    form = TextFormat(f"csv {delimiter}", partial(_records, delimiter), partial(_row, columns), header=1)
    return text_table(file, limit, form, columns)


def _records(delimiter: str, file: DataFile, place: Place) -> Iterator[tuple[Place, Record]]:
    csv.field_size_limit(MAX_ROW_BYTES)  # the default of 128 kB is less than a long conversation
    with open_text(file, place) as handle:
        if place == FIRST and handle.read(3) != codecs.BOM_UTF8:
            handle.seek(0)
        text = io.TextIOWrapper(handle, encoding="utf-8", errors="surrogateescape", newline="")
        cursor = _Cursor(file, text, place.line, handle.tell())
        # Not strict, text after a closing quote would lose its quotes, and an open quote take the rest of the file.
        records = csv.reader(cursor.lines(), delimiter=delimiter, strict=True)
        while True:
            place = cursor.begin_record()
            record: Record
            try:
                record = next(records)
            except csv.Error as error:
                if str(error) == "unexpected end of data":
                    _refuse_open_quote(delimiter, file, place, cursor.line)
                last = cursor.line - 1
                record = error if last == place.line else csv.Error(f"{error}, in lines {place.line} to {last}")
            except StopIteration:
                return
            if record:
                yield place, record


def _refuse_one_column(file: DataFile, delimiter: str, header: list[str]) -> None:
    """Raise if the only column has a name with another delimiter in it."""
    others = [other for other in DELIMITERS if other != delimiter and any(other in name for name in header)]
    if len(header) == 1 and others:
        likely = DELIMITERS[max(others, key=header[0].count)]
        given = f"a {DELIMITERS[delimiter]}" if delimiter in DELIMITERS else delimiter
        raise SepoError(
            f"{file.address} has one column, {listed(header)}, with {given} between fields",
            f"if a {likely} is between them, add --delimiter {likely}",
        )


def _refuse_open_quote(delimiter: str, file: DataFile, place: Place, end: int) -> None:
    """Raise if the quote that is open at the end of the file, before line `end`, holds more lines than its own."""
    with open_text(file, place) as handle:
        text = io.TextIOWrapper(handle, encoding="utf-8", errors="surrogateescape", newline="")
        # A parser that is not strict returns the incomplete last field.
        field = next(csv.reader(islice(text, end - place.line), delimiter=delimiter))[-1]
    lines = len(io.StringIO(field, newline="").readlines())
    if len(io.StringIO(field.rstrip("\r\n"), newline="").readlines()) > 1:
        raise SepoError(
            f"{file.address}, line {end - lines}: a quote is opened and never closed, "
            f"so that all up to line {end - 1} would be one value",
            "close the quote, or double it where it is part of the text",
        )


def _row(columns: tuple[str, ...], number: int, place: str, record: Record) -> Row:
    if isinstance(record, csv.Error):
        return Row(number, None, "invalid_csv", f"{place}: {record}")
    if len(record) != len(columns):
        return Row(number, None, "wrong_number_of_fields", f"{place}: {len(record)} fields for {len(columns)} columns")
    for column, value in zip(columns, record, strict=True):
        if not is_utf8(value):
            return Row(number, None, "invalid_utf8", f"{place}: column {column}")
    return Row(number, dict(zip(columns, record, strict=True)), "", place)


@dataclass
class _Cursor:
    """The parser's position. A record takes one line or more, and the parser never reads ahead into the next record."""

    file: DataFile
    text: TextIO
    line: int
    byte: int
    last_byte: int = 0  # by which the record has to end

    def begin_record(self) -> Place:
        self.last_byte = self.byte + MAX_ROW_BYTES
        return Place(self.line, self.byte)

    def lines(self) -> Iterator[str]:
        while line := self.text.readline(MAX_ROW_BYTES + 1):
            self.line += 1
            self.byte += len(line) if line.isascii() else size_in_utf8(line)
            if self.byte > self.last_byte:
                raise SepoError(
                    f"{self.file.address}, before line {self.line}: a record is longer than {MAX_ROW_BYTES >> 20} MiB",
                    "a quote may never be closed",
                )
            yield line
