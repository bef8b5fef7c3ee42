"""Parse JSON values, and the items of a JSON array one by one: a file of gigabytes takes the memory of one item.

Values are those of Python's own parser, except that an object with a repeated key is refused: one of the two values
would be lost.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sepo_data.readers.text_reader import MAX_ROW_BYTES, Place, is_utf8, size_in_utf8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK_CHARACTERS = 1 << 20  # read at a time
_NO_SPACE = re.compile(r"[^ \t\r\n]")


@dataclass(frozen=True)
class BadValue:
    """Stands for a value that cannot be used."""

    reason: str  # a key of REASONS
    detail: str


def parse(text: str) -> object:
    """The JSON value `text`.

    Raises:
        ValueError: it is no JSON value; the message names the problem and the character.
        RecursionError: it is nested too deeply.
    """
    try:
        return _strict.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos + 1} of the line") from None


def array_items(read: Callable[[int], str], place: Place) -> Iterator[tuple[Place, object]]:
    """Pairs (place, item) of an array, from the item at `place` or from the beginning of the file.

    A BadValue stands for an item that cannot be used.

    Args:
        read: returns the next piece of text, "" at the end; bytes that are not UTF-8 as `surrogateescape` decodes them.
        place: of the beginning of that text.

    Raises:
        ValueError: the text is no JSON array; raised at the place of the error, whose line and byte it names.
    """
    window = _Window(read, *place)
    if place.byte == 0:
        window.skip_mark()
        window.take("[")
        if window.peek() == "]":
            return
    while True:
        window.peek()
        yield window.place, window.item()
        if window.take(",]") == "]":
            break
    if window.peek():
        raise window.error("expected nothing after the array", window.at)


@dataclass
class _Window:
    """The part of a text that was read and not yet consumed."""

    read: Callable[[int], str]
    line: int
    byte: int
    text: str = ""
    at: int = 0  # characters of `text` that were consumed

    @property
    def place(self) -> Place:
        return Place(self.line, self.byte)

    def skip_mark(self) -> None:
        """Consume a byte order mark."""
        if self.peek() == "\ufeff":
            self._consume(self.at + 1)

    def peek(self) -> str:
        """Consume white space and return the next character, "" at the end."""
        while True:
            found = _NO_SPACE.search(self.text, self.at)
            self._consume(found.start() if found else len(self.text))
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._fill(CHUNK_CHARACTERS):
                return ""

    def take(self, expected: str) -> str:
        """Consume one of the `expected` characters, and return it."""
        found = self.peek()
        if not found or found not in expected:
            raise self.error(f"expected {' or '.join(expected)}", self.at)
        self._consume(self.at + 1)
        return found

    def item(self) -> object:
        """Consume a value, and return it."""
        size = CHUNK_CHARACTERS
        while True:
            try:
                item, end = _scan(self.text, self.at)
                complete, problem = end < len(self.text), None  # a number that touches the end may continue
            except json.JSONDecodeError as error:
                complete, problem = False, self.error(error.msg, error.pos)
            except RecursionError:
                raise self.error("nested too deeply", self.at) from None
            except ValueError as error:  # a number of 5000 digits
                raise self.error(str(error), self.at) from None
            if not complete and len(self.text) - self.at > MAX_ROW_BYTES:
                raise self.error(f"an item is longer than {MAX_ROW_BYTES >> 20} MiB", self.at)
            if not complete and self._fill(size):
                size *= 2  # doubling keeps the cost linear, although the beginning is parsed again each time
                continue
            if problem:
                raise problem
            valid = is_utf8(self.text[self.at : end])
            self._consume(end)
            return item if valid else BadValue("invalid_utf8", "a byte that is not UTF-8")

    def error(self, message: str, position: int) -> ValueError:
        """An error at character `position` of `text`."""
        line = self.line + self.text.count("\n", self.at, position)
        byte = self.byte + size_in_utf8(self.text[self.at : position])
        return ValueError(f"line {line}, byte {byte}: {message}")

    def _consume(self, end: int) -> None:
        consumed = self.text[self.at : end]
        self.line += consumed.count("\n")
        self.byte += size_in_utf8(consumed)
        self.at = end

    def _fill(self, size: int) -> bool:
        more = self.read(size)
        if more:
            self.text, self.at = self.text[self.at :] + more, 0
        return bool(more)


class _RepeatedKeyError(ValueError):
    """An object has a key more than once."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        repeated = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise _RepeatedKeyError(f"the key {repeated!r} occurs twice")
    return value


_strict = json.JSONDecoder(object_pairs_hook=_object)
_lenient = json.JSONDecoder()


def _scan(text: str, start: int) -> tuple[object, int]:
    """The value that begins at `start`, and its end; a BadValue if an object in it repeats a key."""
    try:
        return _strict.raw_decode(text, start)
    except _RepeatedKeyError as error:
        return BadValue("invalid_json", str(error)), _lenient.raw_decode(text, start)[1]
