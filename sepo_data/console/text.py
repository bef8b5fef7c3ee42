"""Text for people: what is no plain text escaped, "did you mean" suggestions worded alike, columns aligned."""

from __future__ import annotations

import re
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING
from unicodedata import category

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Sequence

MOST_LISTED = 100
"""Names in a message."""

LONGEST_NAME = 200
"""Characters of a name in a message."""

MOST_COMPARED = 5000
"""Names that a wrong one is compared with: about a second."""

MOST_GUESSED = 3
"""Wrong names in a message with a suggestion each."""

_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0d\uffa0\U000e0100-\U000e01ef]")
"""Letters and marks that take no ink; of the variation selectors, those of emoji stay."""


def printable(text: str) -> str:
    """`text` with everything but line breaks escaped that steers a terminal, turns a line around or is not seen."""
    return "\n".join(map(spelt_out, text.split("\n")))


def spelt_out(text: str) -> str:
    """`text` as one line: as `printable`, and line breaks are escaped, too."""
    return visible(text, lambda letter: ascii(letter)[1:-1])


def visible(text: str, escape: Callable[[str], str]) -> str:
    """`text` with each character replaced by `escape` of it that people cannot see, or that a terminal obeys.

    Control and format characters, line and paragraph separators, half characters, private and unknown ones. Spaces
    that a language uses, such as the ideographic one, stay.
    """
    if text.isprintable() and (text.isascii() or not _INVISIBLE.search(text)):
        return text
    return "".join(letter if _is_seen(letter) else escape(letter) for letter in text)


def _is_seen(letter: str) -> bool:
    if letter.isprintable():
        return not _INVISIBLE.match(letter)
    return category(letter) == "Zs"


def did_you_mean(wrong: str, present: Iterable[str]) -> str:
    """`did you mean a or b?`, or "" where no name comes close; of very many names, the first are compared."""
    if len(wrong) > LONGEST_NAME:
        return ""
    short = (name for name in present if len(name) <= LONGEST_NAME)
    near = get_close_matches(wrong, list(islice(short, MOST_COMPARED)), n=3, cutoff=0.5)
    return f"did you mean {listed(near, ' or ')}?" if near else ""


def guesses(wrong: Sequence[str], present: Collection[str]) -> str:
    """`for a, did you mean b?` for the first of the names that others come close to."""
    found = ((name, did_you_mean(name, present)) for name in wrong[:MOST_GUESSED])
    return "; ".join(f"for {name}, {guess}" for name, guess in found if guess)


def listed(names: Iterable[str], separator: str = ", ") -> str:
    """The names in one line that any terminal can print: a column may have any name, even half a character.

    A long name is cut, and so is a long list, which then ends in the number of those left out.
    """
    every = list(names)
    shown = [shortened(name).encode("utf-8", "backslashreplace").decode() for name in every[:MOST_LISTED]]
    return separator.join(shown) + (f" and {len(every) - MOST_LISTED:,} more" if len(every) > MOST_LISTED else "")


def shortened(name: str, length: int = LONGEST_NAME) -> str:
    """`name`, or its beginning and its length where it is longer than `length`."""
    return name if len(name) <= length else f"{name[:length]}... ({len(name):,} characters)"


def aligned_columns(rows: Sequence[Sequence[str]], right: Container[int] | None = None) -> list[str]:
    """One line a row: cells spelt out and padded to the widest of their column, two spaces between columns.

    Args:
        rows: of the same number of cells each.
        right: numbers of the columns that are aligned right; by default all but the first.
    """
    rows = [list(map(spelt_out, row)) for row in rows]
    widths = [max(map(terminal_width, column)) for column in zip(*rows, strict=True)]
    to_right = range(1, len(widths)) if right is None else right
    return ["  ".join(_padded(row, widths, to_right)).rstrip() for row in rows]


def _padded(row: Sequence[str], widths: Sequence[int], right: Container[int]) -> list[str]:
    blanks = [" " * (width - terminal_width(cell)) for cell, width in zip(row, widths, strict=True)]
    return [
        blank + cell if at in right else cell + blank for at, (cell, blank) in enumerate(zip(row, blanks, strict=True))
    ]


def terminal_width(text: str) -> int:
    """Columns of a terminal that the text takes: two for an East Asian character, none for a combining one."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
