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

_SEQUENCE = re.compile(r"\x1b(?:\[(?P<numbers>[0-?]*)[ -/]*(?P<final>[@-~])|O(?P<other>[@-~]))")
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?")


class Keys:
    """Decodes what a terminal sends, piece by piece: a character and a sequence may come in several."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> list[str]:
        """The keys that are complete with `data`; those without a meaning are left out."""
        text = self._rest + self._decoder.decode(data)
        self._rest, keys, at = "", [], 0
        while at < len(text):
            if text[at] != "\x1b":
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

    @property
    def waits(self) -> bool:
        """True after the beginning of a sequence, which may be the escape key alone."""
        return bool(self._rest)

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
