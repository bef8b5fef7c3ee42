"""Rows as every kind of file gives them, good and bad ones told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sepo_data.console.suggest import listed
from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class DataFile:
    """A file with rows on this machine."""

    path: Path
    address: str  # what the user would type: the file may be a copy of it, or what was packed in it
    name: str  # in the details of rows
    kind: str  # the suffixes that tell how it is read: ".jsonl.gz"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its value, or a reason code and what is wrong. For text files `detail` always names file and line."""

    number: int
    value: dict[str, object] | None
    problem: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """Rows with the same columns. `read(start, stop)` gives them, each time anew and never all at once in memory.

    It can be pickled: another process reads the same rows without counting them again.
    """

    columns: tuple[str, ...]
    rows: int
    read: Callable[[int, int], Iterator[Row]]
    end: int | None = None  # bytes of a text file that these rows take, where a limit ended the reading before the file


def python_rows(start: int, stop: int, values: Callable[[int, int], Sequence[dict[str, object]]]) -> Iterator[Row]:
    """Rows of Arrow data, whose strings nobody has checked to be UTF-8 before `values(start, stop)` decodes them."""
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


def refuse_twins(name: str, columns: Sequence[str]) -> None:
    """Two columns of one name: a row as a dict would silently lose one."""
    if twins := {column for column in columns if columns.count(column) > 1}:
        raise SepoError(f"{name} has more than one column called {listed(sorted(twins))}")
