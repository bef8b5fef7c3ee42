"""Sizes of what the operations of a chat template make of their operands, before they make it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_CHARACTERS = 16 << 20
"""Of one value: a rendered conversation, or a text that a template makes on the way."""

MOST_BITS = 4096
"""Of an integer that a template computes."""

_PADDED = {"center", "ljust", "rjust", "zfill", "batch", "slice", "round", "to_bytes"}
_FORMATTED = {"format", "format_map"}
_SPREAD = {"indent", "wordwrap", "translate", "expandtabs"}
_WRITTEN = {"tojson", "string", "pprint", "sum", "urlize", "xmlattr", "escape", "e", "forceescape"}
GROWING = {"join", "replace", *_PADDED, *_SPREAD, *_FORMATTED, *_WRITTEN}
_WIDTH_ELSEWHERE = re.compile(r"%[^a-zA-Z%]*\*|\{[^{}]*\{")
_NODE_CHARACTERS = 64


class TemplateTooLargeError(Exception):
    """A chat template makes more than it may."""

    def __init__(self) -> None:
        super().__init__(f"the chat template makes a text of more than {MOST_CHARACTERS:,} characters")


def result_size(operator: str, left: Any, right: Any) -> int:  # noqa: ANN401 - any values
    """The characters of the result of an operator, at most."""
    if operator == "%":
        return _formatted_size(left, right) if isinstance(left, str | bytes) else 0
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * (right if operator == "**" else 1) + right.bit_length()
        if bits > MOST_BITS:
            raise TemplateTooLargeError
        return 0
    if operator == "+" and hasattr(left, "__len__") and hasattr(right, "__len__"):
        return len(left) + len(right) + weight(min(left, right, key=len))
    if operator == "*":
        return max(
            weight(left) * right if isinstance(right, int) else 0,
            weight(right) * left if isinstance(left, int) else 0,
        )
    return 0


def size_of_call(name: str, value: Any, args: Iterable[Any], named: Mapping[str, Any]) -> int:  # noqa: ANN401 - any value
    """The characters of what the filter or the method `name` makes of `value`, at most."""
    given = [*args, *named.values()]
    if name in _FORMATTED:
        return _formatted_size(value, given)
    if name == "join":
        separators, parts = (value, given[0]) if isinstance(value, str | bytes) and given else (given, value)
        return weight(parts) + len(parts) * weight(separators)
    if name == "replace" and len(given) > 1:
        return weight(value) + str(value).count(str(given[0])) * weight(given[1])
    largest = max((abs(each) for each in given if isinstance(each, int)), default=0)
    return weight(value) * _times(name, value, largest, weight(given)) + largest + weight(given)


def _times(name: str, value: object, largest: int, given: int) -> int:
    """The times that a value grows, at most, by arguments of `given` characters and numbers up to `largest`."""
    if name == "indent":  # each line
        return 1 + (largest + given) * (str(value).count("\n") + 1) // (weight(value) + 1)
    if name in {"tojson", "expandtabs"}:
        return 1 + largest + given
    return 1 + given if name in {"wordwrap", "translate"} else 1


def _formatted_size(text: str | bytes, given: object) -> int:
    """The characters of a formatted text, at most: each field may hold all that is given, in any width."""
    shown = text if isinstance(text, str) else text.decode("latin-1")
    widths = [int(digits[:9]) for digits in re.findall(r"[0-9]+", shown)]
    if _WIDTH_ELSEWHERE.search(shown):
        widths += (
            [abs(number) for number in given if isinstance(number, int)] if isinstance(given, list | tuple) else []
        )
    fields = shown.count("%") + shown.count("{")
    return len(shown) + fields * (weight(given) + max(widths, default=0))


def weight(value: object, left: int = MOST_CHARACTERS) -> int:
    """About the characters of `str(value)`; counting ends above `left`, as a value may hold another many times."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, Mapping):
        inside: Iterable[object] = (part for entry in value.items() for part in entry)
    elif isinstance(value, list | tuple | AbstractSet):
        inside = value
    else:
        return _NODE_CHARACTERS
    total = 0
    for part in inside:
        total += _NODE_CHARACTERS + weight(part, left - total)
        if total > left:
            break
    return total
