"""Keys from the bytes that a terminal sends: letters as they are, other keys by name."""

from __future__ import annotations

import codecs
import re

NAMED = {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\b": "backspace", "\x15": "clear", "\x04": "end of file"}
FINAL = {"A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end"}
NUMBERED = {"1": "home", "7": "home", "4": "end", "8": "end", "5": "page up", "6": "page down"}
"""Keys by the last letter of their sequence, and by its number before a tilde."""

LONGEST_SEQUENCE = 64
"""Characters of a sequence; a longer one is none of a key, and is dropped."""

PASTE, PASTED = "\x1b[200~", "\x1b[201~"
"""Marks before and after a text that is pasted, once the terminal is asked for them."""

LONGEST_PASTE = 10_000
"""Characters of a pasted text; the rest is left out."""

_SEQUENCE = re.compile(r"\x1b(?:\[(?P<numbers>[0-?]*)[ -/]*(?P<final>[@-~])|O(?P<other>[@-~]))")
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?")


class Pasted(str):
    """A text that was pasted: no letter of it is a key."""

    __slots__ = ()


class Keys:
    """Decodes what a terminal sends, piece by piece: a character and a sequence may come in several."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._pasted: str | None = None

    def feed(self, data: bytes) -> list[str]:
        """The keys that are complete with `data`; those without a meaning are left out."""
        text = self._rest + self._decoder.decode(data)
        keys: list[str] = []
        self._rest, at = "", 0
        while at < len(text):
            if self._pasted is not None:
                at = self._paste(text, at, keys)
            elif text.startswith(PASTE, at):
                self._pasted, at = "", at + len(PASTE)
            elif text[at] != "\x1b":
                keys.append(NAMED.get(text[at], text[at]))
                at += 1
            elif found := _SEQUENCE.match(text, at):
                keys.append(_name(found))
                at = found.end()
            elif (begun := _BEGUN.fullmatch(text, at)) and len(begun[0]) < LONGEST_SEQUENCE:
                self._rest, at = begun[0], len(text)
            else:
                keys.append("escape")
                at += 1
        return [key for key in keys if key]

    def _paste(self, text: str, at: int, keys: list[str]) -> int:
        """Take what is pasted from `at` on; return where to go on."""
        end = text.find(PASTED, at)
        if end < 0:  # the mark may have come in part
            end = next(
                place
                for place in range(max(at, len(text) - len(PASTED) + 1), len(text) + 1)
                if PASTED.startswith(text[place:])
            )
            self._rest = text[end:]
        self._pasted = f"{self._pasted}{text[at:end]}"[:LONGEST_PASTE]
        if not text.startswith(PASTED, end):
            return len(text)
        keys.append(Pasted(self._pasted))
        self._pasted = None
        return end + len(PASTED)

    @property
    def waits(self) -> bool:
        """True after the beginning of a sequence, which may be the escape key alone."""
        return bool(self._rest) and self._pasted is None

    def flush(self) -> list[str]:
        """The keys that are complete if nothing follows."""
        keys = ["escape"] if self._rest else []
        self._rest = ""
        return keys


def _name(found: re.Match[str]) -> str:
    """The key of a sequence, "" for an unknown one."""
    final = found["final"] or found["other"]
    if final == "~":
        return NUMBERED.get((found["numbers"] or "").partition(";")[0], "")
    return FINAL.get(final, "")
