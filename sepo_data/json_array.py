"""The items of a JSON array one by one: a file of gigabytes takes the memory of its largest item."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK = 1 << 20  # bytes read at a time
_scan = json.JSONDecoder().raw_decode


def array_items(read: Callable[[int], str]) -> Iterator[tuple[int, object]]:
    """Each item with the line it starts on. `read(size)` gives the next piece of text, "" at the end.

    Text that is no JSON array raises ValueError once the place is reached, naming line and character.
    """
    window = _Window(read)
    window.take("[")
    if window.peek() == "]":
        return
    while True:
        window.peek()
        yield window.line, window.item()
        if window.take(",]") == "]":
            return


@dataclass
class _Window:
    """The text from the next unread character on, as far as it has been read."""

    read: Callable[[int], str]
    text: str = ""
    at: int = 0
    line: int = 1
    dropped: int = 0  # characters before `text`

    def peek(self) -> str:
        """Skip white space and look at the next character: "" at the end."""
        while True:
            while self.at < len(self.text):
                if self.text[self.at] not in " \t\r\n":
                    return self.text[self.at]
                self._pass(self.at + 1)
            if not self._fill(CHUNK):
                return ""

    def take(self, expected: str) -> str:
        found = self.peek()
        if not found or found not in expected:
            raise self._error(f"expected {' or '.join(expected)}", self.at)
        self._pass(self.at + 1)
        return found

    def item(self) -> object:
        size = CHUNK
        while True:
            try:
                item, end = _scan(self.text, self.at)
                whole, problem = end < len(self.text), None  # a number that touches the end may go on
            except json.JSONDecodeError as error:
                whole, problem = False, self._error(error.msg, error.pos)
            except RecursionError:
                raise self._error("nested too deeply", self.at) from None
            if not whole and self._fill(size):
                size *= 2  # doubling: parsing the same beginning again stays linear in the end
                continue
            if problem:
                raise problem
            self._pass(end)
            return item

    def _pass(self, end: int) -> None:
        self.line += self.text.count("\n", self.at, end)
        self.at = end

    def _fill(self, size: int) -> bool:
        more = self.read(size)
        if more:
            self.dropped += self.at
            self.text, self.at = self.text[self.at :] + more, 0
        return bool(more)

    def _error(self, message: str, position: int) -> ValueError:
        line = self.line + self.text.count("\n", self.at, position)
        return ValueError(f"line {line}, character {self.dropped + position + 1}: {message}")
