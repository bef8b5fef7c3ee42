"""Random access to the rows of text files: one pass counts the rows and records the place of every 250th.

JSON arrays and CSV are read this way, too, and not converted once to JSON lines, as compressed files are. For 133,000
pairs (a JSON array of 301 MiB; CSV of 292 MiB; one core):

                                    array              CSV
                             in place   copy    in place   copy
    open the first time         4.8 s  14.8 s      8.3 s  16.8 s
    open again                 0.04 s  0.03 s     <0.01 s  0.03 s
    read the last 2048 rows    0.07 s  0.05 s     0.13 s  0.07 s
    read all rows               7.3 s   5.2 s     11.0 s   3.0 s
    bytes on disk                   0  302 MiB         0  302 MiB

A stage that runs a model spends little of its time reading, so faster reads do not repay the first opening and the disk
space. A conversion saves no code: it needs the same parsers, and line numbers and unusable rows in the copy.
"""

from __future__ import annotations

import codecs
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from sepo_data.errors import SepoError
from sepo_data.readers.rows import DataFile, Row, Table
from sepo_data.storage.cache import cached_fact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COLUMN_ROWS = 1000  # first rows of a JSON file, whose keys are its columns
MARK_ROWS = 250  # rows between two places at which reading can begin
MAX_ROW_BYTES = 64 << 20  # of a row that is read: several copies have to fit into memory


class Place(NamedTuple):
    """The place at which a row begins."""

    line: int
    byte: int


FIRST = Place(1, 0)


ENCODINGS = {  # by the first bytes of a file; longer marks first, as one begins with a shorter one
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


@dataclass(frozen=True)
class TextFormat:
    """The way to split a text file into items, and to make a row of an item."""

    name: str
    items: Callable[[DataFile, Place], Iterator[tuple[Place, Any]]]  # pairs (place, item), from a place on
    to_row: Callable[[int, str, Any], Row]  # from (row number, "file line 3", item)
    header: int = 0  # items before the first row
    place: str = "{file} line {line}"


def text_table(file: DataFile, limit: int | None, form: TextFormat, columns: tuple[str, ...] | None) -> Table:
    """The first `limit` rows of a text file, or all. Without a header, the columns are the keys of the first rows."""
    question = f"rows of {form.name}, {limit}, {MARK_ROWS}"
    found = cached_fact(question, [file.path], partial(_count, file, form, limit))
    rows = _Rows(file, form, found["rows"], tuple(Place(*mark) for mark in found["marks"]))
    if columns is None:
        columns = tuple(dict.fromkeys(key for row in rows(0, COLUMN_ROWS) for key in row.value or ()))
    return Table(columns, rows.count, rows, found["end"])


def _count(file: DataFile, form: TextFormat, limit: int | None) -> dict[str, Any]:
    """Count the rows; record the place of every MARK_ROWS-th, and the end of the last row if a limit ends the count."""
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
    """Reads rows from the nearest mark on, not from the first row: shard after shard, a file is read once."""

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
def open_text(file: DataFile, place: Place) -> Iterator[BinaryIO]:
    """Open a UTF-8 file at `place`. Other encodings and errors of the system become a SepoError."""
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
    """True if text that was decoded with `surrogateescape` was UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
