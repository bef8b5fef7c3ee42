"""Text files read from the middle: one pass finds how many rows there are, and places at which reading can begin."""

from __future__ import annotations

import codecs
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from sepo_data.errors import SepoError
from sepo_data.readers.rows import DataFile, Row, Table
from sepo_data.storage.cache import remembered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COLUMN_ROWS = 1000  # rows of a JSON file whose keys are its columns
MARK_ROWS = 250  # rows between two places at which reading can begin
ROW_BYTES = 64 << 20  # the longest row that is read: it has to fit into memory some times over


class Place(NamedTuple):
    """Where a row begins."""

    line: int
    byte: int


FIRST = Place(1, 0)


ENCODINGS = {  # that a file tells by its first bytes; the longer marks first, for a shorter one is the beginning of one
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


@dataclass(frozen=True)
class TextFormat:
    """How the rows of a kind of text file are found and understood."""

    name: str
    items: Callable[[DataFile, Place], Iterator[tuple[Place, Any]]]  # the items from a place on, each with its place
    to_row: Callable[[int, str, Any], Row]  # of (row number, "file line 3", item)
    header: int = 0  # items before the first row
    place: str = "{file} line {line}"


def text_table(file: DataFile, limit: int | None, form: TextFormat, columns: tuple[str, ...] | None) -> Table:
    """The first `limit` rows of a text file, or all. Where no header names the columns, the keys of the rows do."""
    question = f"rows of {form.name}, {limit}, {MARK_ROWS}"
    found = remembered(question, [file.path], partial(_count, file, form, limit))
    rows = _Rows(file, form, found["rows"], tuple(Place(*mark) for mark in found["marks"]))
    if columns is None:
        columns = tuple(dict.fromkeys(key for row in rows(0, COLUMN_ROWS) for key in row.value or ()))
    return Table(columns, rows.count, rows, found["end"])


def _count(file: DataFile, form: TextFormat, limit: int | None) -> dict[str, Any]:
    """How many rows, the places of every MARK_ROWS-th, and where the first row beyond the limit begins, if one does."""
    rows, marks, end = 0, [], None
    for place, _item in islice(form.items(file, FIRST), form.header, None):
        if rows == limit:
            end = place.byte
            break
        if rows % MARK_ROWS == 0:
            marks.append(place)
        rows += 1
    return {"rows": rows, "marks": marks, "end": end}


@dataclass(frozen=True)
class _Rows:
    """Reading begins near the row that is asked for, not at the first: shard after shard, a file is read once."""

    file: DataFile
    form: TextFormat
    count: int
    marks: tuple[Place, ...]

    def __call__(self, start: int, stop: int) -> Iterator[Row]:
        stop = min(stop, self.count)
        if start >= stop:
            return
        mark = start // MARK_ROWS
        items = self.form.items(self.file, self.marks[mark])
        wanted = islice(items, start - mark * MARK_ROWS, stop - mark * MARK_ROWS)
        for number, (place, item) in enumerate(wanted, start):
            yield self.form.to_row(number, self.form.place.format(file=self.file.name, line=place.line), item)


@contextmanager
def opened(file: DataFile, place: Place) -> Iterator[BinaryIO]:
    try:
        with file.path.open("rb") as handle:
            head = handle.read(4)
            if encoding := next((name for mark, name in ENCODINGS.items() if head.startswith(mark)), None):
                raise SepoError(
                    f"{file.address} is {encoding}, and sepo reads UTF-8",
                    f"convert it with iconv -f {encoding} -t UTF-8",
                )
            handle.seek(place.byte)
            yield cast("BinaryIO", handle)
    except OSError as error:
        raise SepoError(f"{file.address} cannot be read: {error.strerror or error}") from error


def size_in_utf8(text: str) -> int:
    """Bytes of text that was decoded with `surrogateescape`."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def is_utf8(text: str) -> bool:
    """Whether text that was decoded with `surrogateescape` was UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
