"""Text for terminals: control characters escaped, "did you mean" suggestions worded alike, columns aligned."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

_BIDI = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)
_CONTROLS = {code: ascii(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0), *_BIDI, 0xFFFE, 0xFFFF)}
_ALL_BUT_LAYOUT = _CONTROLS | {ord("\n"): "\n", ord("\t"): "\t"}


def printable(text: str) -> str:
    """`text` with control and direction characters escaped; line breaks and tabs stay.

    Nothing in the result steers the reader's terminal or turns a line around.
    """
    return text.translate(_ALL_BUT_LAYOUT)


def spelt_out(text: str) -> str:
    """`text` with every control character escaped, line breaks and tabs included."""
    return text.translate(_CONTROLS)


def did_you_mean(wrong: str, present: Iterable[str]) -> str:
    """`did you mean a or b?`, or "" where no name comes close."""
    near = get_close_matches(wrong, list(present), n=3, cutoff=0.5)
    return f"did you mean {listed(near, ' or ')}?" if near else ""


def listed(names: Iterable[str], separator: str = ", ") -> str:
    """The names in one line that any terminal can print: a column may have any name, even half a character."""
    return separator.join(name.encode("utf-8", "backslashreplace").decode() for name in names)


def aligned_columns(rows: Sequence[Sequence[str]], right: Container[int] | None = None) -> list[str]:
    """One line a row: cells padded to the widest of their column, two spaces between columns.

    Args:
        rows: of the same number of cells each.
        right: numbers of the columns that are aligned right; by default all but the first.
    """
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
