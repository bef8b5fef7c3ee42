"""Rows as every kind of file gives them, good and bad ones told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.errors import SepoError
from sepo_data.suggest import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its value, or a reason code and what is wrong. For text files `detail` always names file and line."""

    number: int
    value: dict[str, object] | None
    problem: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """Rows with the same columns. `read(start, stop)` gives them, each time anew and never all at once in memory."""

    columns: tuple[str, ...]
    rows: int
    read: Callable[[int, int], Iterator[Row]]


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
