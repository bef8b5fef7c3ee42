"""A row of the input, read by the roles of its columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from sepo_data.shapes.skip_reasons import MAX_CHARACTERS, SkipRow
from sepo_data.shapes.written import list_or_object, parse_written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Record:
    """Values by role; errors name the column.

    Attributes:
        row: the values by column.
        names: role to column, or to a key of the objects in a column: `input.messages`.
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
        value = value_at(self.row, self.names[role]) if role in self.names else None
        if role in self.written and isinstance(value, str):
            value = read_written(value, self.name(role)) if value.strip() else None
        return objects_of(value, self.name(role)) if are_turns_by_key(value) else value

    def present(self, role: str) -> object:
        """The value; a row without one is skipped."""
        if column_of(self.name(role), self.row) is None:
            raise SkipRow("missing_column", self.name(role))
        if (value := self.get(role)) is None:
            raise SkipRow("null", self.name(role))
        return value

    def text(self, role: str) -> str:
        """A string, unchanged."""
        return checked_text(self.present(role), self.name(role))


def reads(reader: Callable[[Record], object], record: Record) -> bool:
    """True if the reader does not skip the row."""
    try:
        reader(record)
    except SkipRow:
        return False
    return True


def column_of(name: str, columns: Collection[str]) -> str | None:
    """The column of this name, or the one that holds objects with the key behind a dot; None if there is none."""
    while name not in columns:
        name, dot, _ = name.rpartition(".")
        if not dot:
            return None
    return name


def value_at(row: Row, name: str) -> object:
    """The value of a column, or of a key of its object, which may be written as text; None where there is none."""
    column = column_of(name, row)
    if column is None or column == name:
        return None if column is None else row[column]
    inside = row[column]
    inside = _value_of(inside) if isinstance(inside, str) else inside
    return value_at(inside, name[len(column) + 1 :]) if isinstance(inside, Mapping) else None


def without_value(names: Iterable[str], records: Iterable[Record]) -> tuple[str, ...]:
    """Those of the columns, or keys of objects in columns, that no record has a value of."""
    left = tuple(names)
    for record in records:  # one after the other: text of an object is read once for all its keys
        left = tuple(name for name in left if not value_at(record.row, name))
    return left


@lru_cache(maxsize=8)
def _value_of(text: str) -> object:
    """The value of a text, None of prose; remembered for the other keys of the same row."""
    try:
        return parse_written(text)
    except ValueError:
        return None


def list_at(row: Row, column: str) -> list[object]:
    """The list in a column, which may be written as text or be an object of lists; an empty one where there is none."""
    value = row[column]
    try:
        value = objects_of(list_or_object(value) if isinstance(value, str) else value, column)
    except SkipRow:
        return []
    return value if isinstance(value, list) else []


def are_turns_by_key(value: object) -> bool:
    """True for `{role: [...], content: [...]}`, as `Sequence({...})` of datasets stores a list of turns."""
    return isinstance(value, Mapping) and any(isinstance(value.get(key), list) for key in ("role", "from"))


def objects_of(value: object, place: str) -> object:
    """A list of objects from an object of equally long lists; any other value is returned as it is."""
    if not isinstance(value, Mapping):
        return value
    lists = {key: inside for key, inside in value.items() if inside is not None}
    if not all(isinstance(inside, list) for inside in lists.values()):
        raise SkipRow("wrong_type", f"{place} is an object of lists and of other values")
    if len({len(inside) for inside in lists.values()}) > 1:
        raise SkipRow("wrong_type", f"{place} is an object of lists of different lengths")
    return [dict(zip(lists, each, strict=True)) for each in zip(*lists.values(), strict=True)]


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


def read_written(value: str, place: str) -> object:
    """The value of a JSON text, or of Python's repr."""
    check_size(len(value), place)
    try:
        return parse_written(value)
    except ValueError:
        raise SkipRow("wrong_type", f"{place} is no JSON text") from None
