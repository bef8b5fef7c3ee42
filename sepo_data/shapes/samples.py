"""What the first rows of a dataset have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.shapes.messages import speaker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sepo_data.shapes.columns import Columns
NEARLY_ALL = 0.9


def mostly(answers: Iterable[bool]) -> bool:
    """Whether more than half are true."""
    said = list(answers)
    return sum(said) > len(said) / 2


def both_begin_with(rows: Iterable[tuple[object, ...]]) -> bool:
    """Whether in most rows that can tell, the second and the third value begin with the first: lists or strings.

    This is decided for a dataset and not row by row: a response may well begin with the words of a short prompt.
    """
    return mostly(
        a[: len(start)] == start and b[: len(start)] == start
        for start, a, b in rows
        if isinstance(start, str | list) and isinstance(a, type(start)) and isinstance(b, type(start))
        if (start.strip() if isinstance(start, str) else start)
    )


def whole_dialogues(columns: Columns, *roles: str) -> bool:
    """Whether these are lists of turns that mostly open with somebody other than the assistant."""
    if not columns.are("turns", *roles):
        return False
    lists = (values[0] for values in columns.values(roles[0]))
    return mostly(speaker(value[0]) != "assistant" for value in lists if isinstance(value, list) and value)
