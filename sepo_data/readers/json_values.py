"""JSON as Python's own parser reads it, but for objects that have a key twice: one of the two values would be lost."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class BadValue:
    """What stands in the place of a value that cannot be used."""

    reason: str  # a key of REASONS
    detail: str


class _RepeatedKeyError(ValueError):
    """An object has a key more than once."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise _RepeatedKeyError(f"the key {repeated!r} is there twice")
    return value


_strict = json.JSONDecoder(object_pairs_hook=_object)
_lenient = json.JSONDecoder()


def parse(text: str) -> object:
    """The value that `text` is.

    Raises:
        ValueError: it is none; the message says what is wrong at which character.
        RecursionError: it is nested too deeply.
    """
    try:
        return _strict.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos + 1} of the line") from None


def scan(text: str, start: int) -> tuple[object, int]:
    """The value that begins at `start`, and where it ends; a BadValue where an object in it has a key twice."""
    try:
        return _strict.raw_decode(text, start)
    except _RepeatedKeyError as error:
        return BadValue("invalid_json", str(error)), _lenient.raw_decode(text, start)[1]
