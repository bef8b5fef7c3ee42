"""Naming what exists when a name does not: every error about a wrong name speaks the same way."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(wrong: str, present: Iterable[str]) -> str:
    """`did you mean a or b?`, or nothing where no name comes close."""
    near = get_close_matches(wrong, list(present), n=3, cutoff=0.5)
    return f"did you mean {listed(near, ' or ')}?" if near else ""


def listed(names: Iterable[str], separator: str = ", ") -> str:
    """The names in one line that any terminal can print: a column may be called anything, even half a character."""
    return separator.join(name.encode("utf-8", "backslashreplace").decode() for name in names)
