"""The items of a JSON array one by one: a file of gigabytes takes the memory of its largest item."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sepo_data.readers.json_values import BadValue, scan
from sepo_data.readers.text_reader import ROW_BYTES, Place, is_utf8, size_in_utf8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK = 1 << 20  # characters read at a time
_NO_SPACE = re.compile(r"[^ \t\r\n]")


def array_items(read: Callable[[int], str], place: Place) -> Iterator[tuple[Place, object]]:
    """Each item with the place it begins at, from an item's place on or from the beginning of the file.

    A BadValue stands for an item that is none.

    Args:
        read: gives the next piece of text, "" at the end; bytes that are no UTF-8 as `surrogateescape` decodes them.
        place: where that text begins.

    Raises:
        ValueError: the text is no JSON array; it names line and byte, once that place is reached.
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
        raise window.error("expected nothing behind the array", window.at)


@dataclass
class _Window:
    """The text from the next unread character on, as far as it has been read."""

    read: Callable[[int], str]
    line: int
    byte: int
    text: str = ""
    at: int = 0

    @property
    def place(self) -> Place:
        return Place(self.line, self.byte)

    def skip_mark(self) -> None:
        if self.peek() == "\ufeff":
            self._pass(self.at + 1)

    def peek(self) -> str:
        """Skip white space and look at the next character: "" at the end."""
        while True:
            found = _NO_SPACE.search(self.text, self.at)
            self._pass(found.start() if found else len(self.text))
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._fill(CHUNK):
                return ""

    def take(self, expected: str) -> str:
        found = self.peek()
        if not found or found not in expected:
            raise self.error(f"expected {' or '.join(expected)}", self.at)
        self._pass(self.at + 1)
        return found

    def item(self) -> object:
        size = CHUNK
        while True:
            try:
                item, end = scan(self.text, self.at)
                whole, problem = end < len(self.text), None  # a number that touches the end may go on
            except json.JSONDecodeError as error:
                whole, problem = False, self.error(error.msg, error.pos)
            except RecursionError:
                raise self.error("nested too deeply", self.at) from None
            except ValueError as error:  # a number of 5000 digits
                raise self.error(str(error), self.at) from None
            if not whole and len(self.text) - self.at > ROW_BYTES:
                raise self.error(f"an item is longer than {ROW_BYTES >> 20} MiB", self.at)
            if not whole and self._fill(size):
                size *= 2  # doubling: parsing the same beginning again stays linear in the end
                continue
            if problem:
                raise problem
            proper = is_utf8(self.text[self.at : end])
            self._pass(end)
            return item if proper else BadValue("invalid_utf8", "a byte that is not UTF-8")

    def error(self, message: str, position: int) -> ValueError:
        line = self.line + self.text.count("\n", self.at, position)
        byte = self.byte + size_in_utf8(self.text[self.at : position])
        return ValueError(f"line {line}, byte {byte}: {message}")

    def _pass(self, end: int) -> None:
        passed = self.text[self.at : end]
        self.line += passed.count("\n")
        self.byte += size_in_utf8(passed)
        self.at = end

    def _fill(self, size: int) -> bool:
        more = self.read(size)
        if more:
            self.text, self.at = self.text[self.at :] + more, 0
        return bool(more)
