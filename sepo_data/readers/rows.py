"""Rows: the common output of all readers, with a reason for each row that cannot be used."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sepo_data.console.text import listed
from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class DataFile:
    """A local file with rows."""

    path: Path
    address: str  # as the user would type it; `path` may be a copy of it, or its decompressed content
    name: str  # in the details of rows
    format: str  # its suffixes, which decide the reader: ".jsonl.gz"
    delimiter: str | None = None  # between the fields of CSV, where the user has named it


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its value, or a reason code and a detail. For text files `detail` always names file and line."""

    number: int
    value: dict[str, object] | None
    problem: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """Rows with the same columns. `read(start, stop)` reads them each time, and never holds all of them in memory.

    It can be pickled: another process reads the same rows without counting them again.
    """

    columns: tuple[str, ...]
    rows: int
    read: Callable[[int, int], Iterator[Row]]
    end: int | None = None  # bytes that these rows take in a text file, if a limit ended the reading before the end


def python_rows(start: int, stop: int, values: Callable[[int, int], Sequence[dict[str, object]]]) -> Iterator[Row]:
    """Rows of Arrow data. Strings may be invalid UTF-8, which `values(start, stop)` finds as it decodes them."""
    try:
        decoded = values(start, stop)
    except UnicodeDecodeError as error:
        if stop - start == 1:
            yield Row(start, None, "invalid_utf8", str(error.reason))
            return
        for number in range(start, stop):
            yield from python_rows(number, number + 1, values)
        return
    for number, value in enumerate(decoded, start):
        yield Row(number, value)


def refuse_equal_columns(name: str, columns: Sequence[str]) -> None:
    """Raise if two columns have one name: a row as a dict would silently lose one."""
    if twins := [column for column, count in Counter(columns).items() if count > 1]:
        raise SepoError(f"{name} has more than one column called {listed(sorted(twins))}")
