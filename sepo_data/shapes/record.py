"""A row of the input, read by the roles of its columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sepo_data.shapes.skip_reasons import MAX_CHARACTERS, SkipRow

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Record:
    """Values by role; errors name the column.

    Attributes:
        row: the values by column.
        names: role to column.
        written: roles whose columns hold JSON text, as databases and CSV files hold lists.
    """

    row: Row
    names: Mapping[str, str]
    written: frozenset[str] = frozenset()

    def name(self, role: str) -> str:
        """The column that plays `role`."""
        return self.names[role]

    def get(self, role: str) -> object:
        """The value, or None if there is none."""
        value = self.row.get(self.names[role]) if role in self.names else None
        if role not in self.written or not isinstance(value, str):
            return value
        return read_json(value, self.name(role)) if value.strip() else None

    def present(self, role: str) -> object:
        """The value; a row without one is skipped."""
        if self.name(role) not in self.row:
            raise SkipRow("missing_column", self.name(role))
        if (value := self.get(role)) is None:
            raise SkipRow("null", self.name(role))
        return value

    def text(self, role: str) -> str:
        """A string, unchanged."""
        return checked_text(self.present(role), self.name(role))


def checked_text(value: object, place: str) -> str:
    """`value`, if it is a string that a tokenizer can take; `place` is where it was found, for the message."""
    if value is None:
        raise SkipRow("null", place)
    if not isinstance(value, str):
        raise SkipRow("wrong_type", f"{place} is {type(value).__name__}, not a string")
    check_size(len(value), place)
    check_unicode(value, place)
    return value


def shown(value: object) -> str:
    """A wrong value in a few characters."""
    return repr(value)[:40] if value is None or isinstance(value, str | int | float) else type(value).__name__


def check_size(characters: int, place: str) -> None:
    if characters > MAX_CHARACTERS:
        raise SkipRow("too_large", f"{place} has {characters:,} characters")


def check_unicode(value: object, place: str) -> None:
    """Refuse half surrogate pairs anywhere in a value: JSON can spell them, UTF-8 cannot."""
    inside = [value]
    while inside:  # not by recursion: a column to keep may be nested deeper than Python's stack
        value = inside.pop()
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise SkipRow("invalid_unicode", f"{place}, character {error.start}") from None
        elif isinstance(value, Mapping):
            inside += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            inside += value


def read_json(value: str, place: str) -> object:
    """The value of a JSON text."""
    check_size(len(value), place)
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise SkipRow("wrong_type", f"{place} is no JSON text") from None
