"""Sizes of what the operations of a chat template make of their operands, before they make it."""

from __future__ import annotations

import re
from collections.abc import Mapping, ValuesView
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from jinja2.utils import Namespace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_CHARACTERS = 16 << 20
"""Of one value: a rendered conversation, or a text that a template makes on the way."""

MOST_BITS = 4096
"""Of an integer that a template computes."""

SHORT = 1000
"""Characters of a text that is not worth counting."""

ELEMENT = 64
"""Bytes of an element of a list, about."""

GROWING = {
    *("join", "replace", "sum", "tojson", "translate", "urlize"),
    *("center", "ljust", "rjust", "zfill", "batch", "slice", "round", "to_bytes"),
    *("indent", "wordwrap", "expandtabs"),
}
"""Filters and methods that make a large value of a small one, by their arguments."""

WRITING = {
    *("string", "escape", "e", "forceescape", "safe", "xmlattr", "urlencode", "striptags", "truncate", "wordcount"),
    *("upper", "lower", "title", "capitalize", "trim"),
}
"""Filters that begin with the text of their value."""

_FIELD = re.compile(r"%(?:\(([^)]*)\))?[-+ #0]*(\*|[0-9]*)(?:\.(\*|[0-9]*))?")
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_NODE = 8
_OTHER = 64


class TemplateTooLargeError(Exception):
    """A chat template makes more than it may."""

    def __init__(self) -> None:
        super().__init__(f"the chat template makes a text of more than {MOST_CHARACTERS:,} characters")


def result_size(operator: str, left: Any, right: Any) -> int:  # noqa: ANN401 - any values
    """The characters of the result of an operator, at most."""
    if operator == "%":
        return formatted_size(left, right) if isinstance(left, str | bytes) else 0
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * (right if operator == "**" else 1) + right.bit_length()
        if bits > MOST_BITS:
            raise TemplateTooLargeError
        return 0
    if operator == "+" and hasattr(left, "__len__") and hasattr(right, "__len__"):
        each = 1 if isinstance(left, str | bytes) else _NODE
        return (len(left) + len(right)) * each + weight(min(left, right, key=len))
    if operator == "*":
        return max(
            weight(left) * right if isinstance(right, int) else 0,
            weight(right) * left if isinstance(left, int) else 0,
        )
    return 0


def size_of_call(name: str, value: Any, args: Sequence[Any], named: Mapping[str, Any]) -> int:  # noqa: ANN401 - any value
    """The characters of what the filter or the method `name` makes of `value`, at most."""
    given = [*args, *named.values()]
    if name == "join":
        separators, parts = (value, given[0]) if isinstance(value, str | bytes) and given else (given, value)
        return weight(parts) + len(parts) * weight(separators)
    if name == "replace" and len(given) > 1:
        old, new = named.get("old", given[0]), named.get("new", given[1])
        return weight(value) + str(value).count(str(old)) * weight(new)
    texts = sum(map(_text, given))
    largest = max((abs(each) for each in given if isinstance(each, int)), default=0)
    if name == "tojson":  # each element may have a separator, and a line that is indented
        return weight(value, node=_NODE + texts + largest, deeper=texts + largest)
    if isinstance(value, str | bytes):
        return len(value) + _grown(name, value, given, texts, largest)
    return weight(value) + largest + weight(given)


def _grown(name: str, value: Any, given: list[Any], texts: int, largest: int) -> int:  # noqa: ANN401 - text or bytes
    """The characters that a call adds to a text, at most, by `texts` characters and numbers up to `largest`."""
    if isinstance(value, str):
        match name:
            case "indent":
                return (largest + texts) * (1 + sum(map(value.count, _LINE_ENDS)))
            case "urlize":
                return (_OTHER + texts) * (1 + sum(map(value.count, ".:@")))
            case "wordwrap":
                return texts * len(value)
            case "translate":
                return len(value) * max((_longest(table) for table in given), default=0)
    if name == "expandtabs":
        tabs: int = value.count("\t" if isinstance(value, str) else b"\t")
        return tabs * (largest or _NODE)
    return largest + weight(given)


def _text(given: object) -> int:
    """The characters of an argument, and of those in it."""
    if isinstance(given, str | bytes):
        return len(given)
    return sum(map(_text, given)) if isinstance(given, list | tuple) else 0


def _longest(table: object) -> int:
    inside = table.values() if isinstance(table, Mapping) else table if isinstance(table, list | tuple) else ()
    return max((len(each) for each in inside if isinstance(each, str)), default=1)


def formatted_size(text: str | bytes, given: object) -> int:
    """The characters of `text % given`, at most."""
    shown = text if isinstance(text, str) else text.decode("latin-1")
    fields = _FIELD.findall(shown)
    numbers = [each for pair in fields for each in pair[1:]]
    if any("(" in key for key, *_ in fields):  # brackets in a key: it may end elsewhere
        numbers += re.findall(r"[0-9]+", shown)
    size = len(shown) + sum(int(digits.lstrip("0")[:12] or 0) for digits in numbers if digits != "*")
    if "*" in numbers and isinstance(given, tuple):
        size += numbers.count("*") * max((abs(each) for each in given if isinstance(each, int)), default=0)
    if isinstance(given, Mapping):
        return size + sum(weight(given.get(key, given)) for key, *_ in fields)
    return size + weight(given)


def element_size(element: object) -> int:
    """About the bytes of an element that an iterator makes."""
    if isinstance(element, str):
        return ELEMENT + len(element)
    return ELEMENT * (1 + len(element)) if isinstance(element, list) else ELEMENT


def weight(value: object, left: int = MOST_CHARACTERS, node: int = _NODE, deeper: int = 0) -> int:
    """About the characters of `str(value)`; counting ends above `left`, as a value may hold another many times.

    Each element of a list adds `node`, and `deeper` for each list around that.
    """
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, Mapping):
        inside: Iterable[object] = (part for entry in value.items() for part in entry)
    elif isinstance(value, list | tuple | AbstractSet | ValuesView):
        inside = value
    elif isinstance(value, Namespace):
        inside = [value._Namespace__attrs]  # noqa: SLF001 - its text is that of its values
    else:
        return _NODE + value.bit_length() // 3 if isinstance(value, int) else _OTHER
    total = 0
    for part in inside:
        total += node + (len(part) if type(part) is str else weight(part, left - total, node + deeper, deeper))
        if total > left:
            break
    return total
