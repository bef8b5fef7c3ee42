"""Labels of directories in charts and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.report.caption import plain
from sepo_data.report.style import WIDTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sepo_data.report.source import Source

LETTER, SYMBOL = 4.6, 26
"""Points that a letter of a legend takes, and the symbol with its spaces."""


def label(source: Source) -> str:
    """The name of a directory without anything that steers a terminal or is no letter of XML."""
    return plain(source.name)


def legend_columns(labels: Sequence[str]) -> int:
    """The number of columns of a legend that is as wide as the chart."""
    longest = max(map(len, labels), default=1)
    return max(1, int(WIDTH // (longest * LETTER + SYMBOL)))
