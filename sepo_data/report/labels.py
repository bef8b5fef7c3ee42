"""Labels in charts: directories, and ticks of whole numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.report.caption import plain
from sepo_data.report.style import WIDTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sepo_data.report.source import Source

BETWEEN = " | "
"""Between the labels of two directories that are compared."""

MOST_TICKS = 6

LETTER, SYMBOL = 4.6, 26
"""Points that a letter of a legend takes, and the symbol with its spaces."""

LONGEST_OF_TWO = int((WIDTH - SYMBOL) / LETTER - len(BETWEEN)) // 2
"""Letters of each of two labels side by side in the width of a chart."""


def label(source: Source) -> str:
    """The name of a directory without anything that steers a terminal or is no letter of XML."""
    return plain(source.name)


def short_labels(labels: Sequence[str], most: int) -> list[str]:
    """Labels of at most `most` letters for a chart, of different ones no two the same.

    A long one keeps its end, in which names of one experiment differ; where that is not enough, all begin with numbers.
    """
    cut = [text if len(text) <= most else f"\N{HORIZONTAL ELLIPSIS}{text[1 - most :]}" for text in labels]
    if len(set(cut)) == len(set(labels)):
        return cut
    return [f"{number}: {text}"[:most] for number, text in enumerate(labels, 1)]


def legend_columns(labels: Sequence[str]) -> int:
    """The number of columns of a legend that is as wide as the chart."""
    longest = max(map(len, labels), default=1)
    return max(1, int(WIDTH // (longest * LETTER + SYMBOL)))


def whole_ticks(last: int) -> list[int]:
    """At most `MOST_TICKS` whole numbers from 0 to `last`, as far from one another: 1, 2, 5, 10, 20, ..."""
    distance = next(
        factor * 10**power
        for power in range(len(str(last)))
        for factor in (1, 2, 5)
        if last // (factor * 10**power) < MOST_TICKS
    )
    return list(range(0, last + 1, distance))
