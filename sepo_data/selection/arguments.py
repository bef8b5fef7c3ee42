"""Arguments of rules, filters and weights: from text, as the command line gives them, to values."""

from __future__ import annotations

import math
from numbers import Integral
from typing import TYPE_CHECKING

from sepo_data.console.text import did_you_mean, shortened
from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Sequence


LARGEST = 2**31 - 1
"""Of a whole number: positions and seeds are computed in 64 bits."""


def finite_number(name: str, text: str | float, *, example: float = 0.1) -> float:
    """The argument `name` as a number.

    Raises:
        SepoError: it is none, or infinite.
    """
    try:
        number = math.nan if isinstance(text, bool) else float(text)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise SepoError(f"{name}={text} is not a number", f"write {name}={example}")
    return number


def whole_number(name: str, text: str | float, *, minimum: int = 0) -> int:
    """The argument `name` as an integer of at least `minimum`.

    Raises:
        SepoError: it is none.
    """
    whole = isinstance(text, str | Integral) or (isinstance(text, float) and text.is_integer())
    try:
        number = int(text) if whole and not isinstance(text, bool) else minimum - 1
    except ValueError:
        number = minimum - 1
    shown = shortened(str(text), 20)
    if number > LARGEST:
        raise SepoError(f"{name}={shown} is more than {LARGEST:,}", f"write {name}={max(1, minimum)}")
    if number < minimum:
        raise SepoError(f"{name}={shown} is not a whole number from {minimum}", f"write {name}={max(1, minimum)}")
    return number


def names_between_commas(option: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    """The names in `text`, each once, in alphabetical order.

    Raises:
        SepoError: a name is not among `known`.
    """
    if not isinstance(text, str):
        raise SepoError(f"{option}: {text!r} is no text", f"write the names with commas: {','.join(known)}")
    names = sorted({name.strip() for name in text.split(",")} - {""})
    if text and not names:
        raise SepoError(f"{option} has no name", f"write the names with commas: {','.join(known)}")
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f"known: {', '.join(known)}"
            raise SepoError(f"{option} {name}: unknown class of tokens", hint)
    return tuple(names)
