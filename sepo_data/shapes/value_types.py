"""Types of the values of a column: text, turns, lists of answers, token ids, or JSON text of one of these."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sepo_data.shapes.messages import is_turn, speaker

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WRITTEN = "JSON text of "
"""Databases and CSV files have no lists; the type of their columns is this prefix and the type inside the text."""

TYPES = ("string", "number", "record", "turn", "strings", "numbers", "ids", "records", "turns", "lists")
"""Types of values that a role can take."""

NEARLY_ALL = 0.9
"""Share of the first rows that have to agree where a single exception is no reason for doubt."""


def mostly(answers: Iterable[bool]) -> bool:
    """True if more than half are true."""
    found = list(answers)
    return sum(found) > len(found) / 2


def both_begin_with(rows: Iterable[tuple[object, ...]]) -> bool:
    """True if in most rows the second and the third value begin with the first: lists or strings.

    Rows with an empty first value, or with values of different types, do not count. This is decided for a dataset and
    not row by row: a response may well begin with the words of a short prompt.
    """
    return mostly(
        a[: len(start)] == start and b[: len(start)] == start
        for start, a, b in rows
        if isinstance(start, str | list) and isinstance(a, type(start)) and isinstance(b, type(start))
        if (start.strip() if isinstance(start, str) else start)
    )


def type_of(values: Sequence[object]) -> str:
    """The type of most values that are present, or `unknown` if none is."""
    present = [value for value in values if value is not None and value != []]
    kinds = Counter(_kind(value) for value in present).most_common(1)
    if not kinds or kinds[0][0] != "string":
        return kinds[0][0] if kinds else "unknown"
    texts = [value for value in present if isinstance(value, str) and value.strip()]
    inside, count = Counter(map(_written_kind, texts)).most_common(1)[0] if texts else ("string", 0)
    return WRITTEN + inside if inside != "string" and count >= NEARLY_ALL * len(texts) else "string"


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "string"
    if isinstance(value, Mapping):
        return "turn" if is_turn(value) else "record"
    if isinstance(value, list):
        return _kind_of_list(value)
    return "number" if isinstance(value, int | float) else "other"


def _kind_of_list(value: list[object]) -> str:
    first = value[0] if value else None
    if isinstance(first, Mapping):
        return "turns" if is_turn(first) else "records"
    if isinstance(first, str | list):
        return "strings" if isinstance(first, str) else "lists"
    if all(isinstance(item, int) and not isinstance(item, bool) for item in value):
        return "ids"
    return "numbers" if all(isinstance(item, int | float) for item in value) else "other"


def _written_kind(text: str) -> str:
    if text.lstrip()[0] not in "[{-0123456789":
        return "string"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return "string"
    kind = _kind(value)
    turns = value if isinstance(value, list) else [value]
    # Extracted data may well have a role or a sender; a conversation has known speakers.
    if kind == "other" or (kind in {"turn", "turns"} and not all(map(speaker, turns))):
        return "string"
    return kind
