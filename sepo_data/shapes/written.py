"""Values written as text: JSON, and Python's repr of lists and objects, as pandas writes them into CSV files."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from sepo_data.shapes.skip_reasons import MAX_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LEVELS = 100
"""Levels of nesting in Python's repr; deeper text is no value."""

CLOSING = {"[": "]", "{": "}", "(": ")"}

WORDS = {"True": "true", "False": "false", "None": "null", "nan": "NaN", "inf": "Infinity"}

_ESCAPE = re.compile(r"\\(?:([\\'\"nrt])|x([0-9a-f]{2})|u([0-9a-f]{4})|U(00(?:0[0-9a-f]|10)[0-9a-f]{4})|)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}

# Every quantifier is possessive and a string needs no end, so that any text is passed over once.
_DIFFERENT = re.compile(
    r"""(?P<text>'(?:[^'\\\n]++|\\.)*+'?+|"(?:[^"\\\n]++|\\.)*+"?+)"""
    r"|(?P<open>(?:\b(?:np\.(?:array|str_|bool_|u?int\d\d?|float\d\d)|array|list))?+\(|[\[{])"
    r"|(?P<close>(?:,\s*+(?:dtype=(?:\w++|'[^'\n]{0,9}+'))?+)?+\)|[\]}])"
    r"|(?P<word>\b(?:True|False|None|nan|inf)\b)"
    r"|(?P<whole>\b\d++\.(?!\d))"
)
"""The parts of Python's repr that JSON spells otherwise, and brackets."""

_TURN_FIRST = re.compile(
    r"""(?:[\[({\s]|array\(|list\()*+['"](?:role|from|content|value)['"]\s*+(?::|=>)\s*+(?:['"]|None|null)"""
)
_SPEAKS = re.compile(
    r"""['"](?:role|from)['"]\s*+(?::|=>)\s*+['"](?:system|user|human|assistant|gpt|tool|function)['"]""", re.IGNORECASE
)
_BARE_FIRST = re.compile(r"\s*+\[?+\{'(?:role|from|content|value)': ")
_BARE_SPEAKS = re.compile(r"'(?:role|from)': (?:system|user|human|assistant|gpt|tool|function)[,}]")
_NO_CODE = re.compile(
    r"(?:[\s\[\]{}(),:.\d=<>+\-]|true|false|null|dtype|object|datetime|timezone|timedelta|tzinfo|Timestamp|UTC|utc|e)*+"
)


def parse_written(text: str) -> object:
    """The value of JSON text, or of Python's repr of lists and objects of plain values.

    A tuple is a list, and so is `array([...], dtype=object)`, which numpy writes inside other values. JSON text of a
    text that is one of these is its value.

    Raises:
        ValueError: the text is neither.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        pass
    else:
        return parse_written(value) if isinstance(value, str) and may_be_written(value) else value
    if len(text) > MAX_CHARACTERS:
        raise ValueError("too long")
    try:
        return json.loads(_as_json(text))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def list_or_object(text: str) -> object:
    """The list or object that a text is; None for prose."""
    try:
        return parse_written(text) if may_be_written(text) else None
    except ValueError:
        return None


def may_be_written(text: str) -> bool:
    """True if a list or an object could begin here."""
    start = text.lstrip()
    return start[:1] in {"[", "{", "("} or start.startswith(("array(", "np.array(", '"[', '"{'))


def is_cut(text: str) -> bool:
    """True if a list or an object is written here in a way that cannot be read back, and no code."""
    if not may_be_written(text):
        return False
    try:
        parse_written(text)
    except ValueError:
        return _NO_CODE.fullmatch(_DIFFERENT.sub(_left_of(text), text)) is not None
    return False


def is_cut_turns(text: str) -> bool:
    """True if turns are written here in a way that cannot be read back.

    numpy prints a list of objects without commas, and cut to its ends with `...`; pandas prints `...` for the end of a
    long value, spreadsheets cut it at 32,767 characters, and DuckDB leaves most texts without quotes. Code that holds
    turns is none of these, nor is JSON of another kind that is cut.
    """
    if _BARE_FIRST.match(text) and _BARE_SPEAKS.search(text):
        return True
    if not _TURN_FIRST.match(text) or not (_SPEAKS.search(text) or text.rstrip().endswith("...")):
        return False
    return is_cut(text)


def _as_json(text: str) -> str:
    """Python's repr, spelled as JSON; what is no repr makes no JSON either."""
    if not may_be_written(text):
        raise ValueError("no list and no object")
    ends: list[tuple[str, str]] = []  # of the open brackets: as Python has them, and as JSON does

    def respell(found: re.Match[str]) -> str:
        part = found[0]
        kind = found.lastgroup
        if kind == "text":
            return _json_string(part)
        if kind == "open":
            ends.append((CLOSING[part[-1]], "" if len(part) > 1 else "]" if part == "(" else CLOSING[part]))
            if len(ends) > MAX_LEVELS:
                raise ValueError("nested too deeply")
            return "" if len(part) > 1 else "[" if part == "(" else part
        if kind == "close":
            expected, end = ends.pop() if ends else ("", "")
            if part[-1] != expected:
                raise ValueError("the brackets do not match")
            return end
        return WORDS[part] if kind == "word" else f"{part}0"

    return _DIFFERENT.sub(respell, text)


def _json_string(literal: str) -> str:
    inside = literal[1:-1]
    if len(literal) == 1 or literal[-1] != literal[0] or (inside.endswith("\\") and not _ends_in_pairs(inside)):
        raise ValueError("a string without an end")
    return json.dumps(_ESCAPE.sub(_unescaped, inside) if "\\" in inside else inside)


def _ends_in_pairs(inside: str) -> bool:
    return (len(inside) - len(inside.rstrip("\\"))) % 2 == 0


def _unescaped(found: re.Match[str]) -> str:
    character, *codes = found.groups()
    if character:
        return _ESCAPED.get(character, character)
    code = next(filter(None, codes), None)
    if code is None:
        raise ValueError("an escape that repr does not write")
    return chr(int(code, 16))


def _left_of(text: str) -> Callable[[re.Match[str]], str]:
    """Rest of each part of cut turns: nothing of a string, which may have its end behind the end of the text."""

    def left(found: re.Match[str]) -> str:
        part = found[0]
        if found.lastgroup != "text":
            return " "
        whole = len(part) > 1 and part[-1] == part[0]
        return " " if whole or found.end() == len(text) else "?"

    return left
