"""Lengths of texts, counted by length, so that any number of texts takes little memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PERCENTILES = (50, 90, 95, 99)
BAR_CHARACTERS = 40
"""Length of the longest bar of a histogram."""


@dataclass
class Lengths:
    """The number of texts of each length."""

    counts: Counter[int] = field(default_factory=Counter)

    def add(self, length: int) -> None:
        self.counts[length] += 1

    @property
    def total(self) -> int:
        """The sum of all lengths."""
        return sum(length * count for length, count in self.counts.items())

    def summary(self) -> dict[str, float]:
        """Minimum, mean, percentiles, maximum; percentile p is the least length that p% of the texts do not exceed."""
        ascending = sorted(self.counts)
        texts = self.counts.total()
        found: dict[str, float] = {"min": ascending[0], "mean": round(self.total / texts, 1)}
        wanted = [(f"p{percent}", -(-percent * texts // 100)) for percent in PERCENTILES]
        seen = 0
        for length in ascending:
            seen += self.counts[length]
            found |= {name: length for name, rank in wanted if name not in found and seen >= rank}
        return found | {"max": ascending[-1]}

    def histogram(self) -> list[tuple[int, int, int]]:
        """(from, to, texts), two bins for each doubling of the length, from the shortest to the longest."""
        bins = Counter[tuple[int, int]]()
        for length, count in self.counts.items():
            bins[_bin(length)] += count
        found = []
        low = min(self.counts, default=0)
        while low <= max(self.counts, default=-1):
            low, high = _bin(low)
            found.append((low, high, bins[low, high]))
            low = high + 1
        return found


def _bin(length: int) -> tuple[int, int]:
    """The bounds of the bin of `length`: 32 to 47, 48 to 63, 64 to 95, ..."""
    half = 1 << max(length.bit_length() - 2, 0)
    low = length // half * half
    return low, low + half - 1


def histogram_lines(bins: list[tuple[int, int, int]]) -> Iterator[str]:
    """A histogram as text, one line a bin."""
    width = len(f"{bins[-1][1]:,}")
    most = max(count for *_, count in bins)
    for low, high, count in bins:
        bar = "#" * -(-count * BAR_CHARACTERS // most)
        yield f"{low:>{width},} - {high:>{width},}  {bar:<{BAR_CHARACTERS}}  {count:,}".rstrip()
