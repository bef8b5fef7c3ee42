"""Reading orders other than that of the dataset: shuffled, mixed, or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sepo_data.errors import SepoError
from sepo_data.preferences.mixture import interleaved, part_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from sepo_data.preferences.reading import Reading

MAX_GAP_ROWS = 100
"""Unwanted rows between two wanted ones that are read along: quicker than to begin anew, up to this number."""


@dataclass(frozen=True, eq=False)
class Order:
    """The part and the row of that part at each place in the reading order; both of shape (places,)."""

    parts: NDArray[np.intp]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.parts)

    def of_part(self, part: int, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        """The rows of one part between two places, ascending, and the place of each."""
        places = start + np.flatnonzero(self.parts[start:stop] == part)
        rows = self.rows[places]
        ascending = np.argsort(rows, kind="stable")
        return rows[ascending], places[ascending]


def reading_order(sizes: Sequence[int], reading: Reading) -> Order | None:
    """The order in which parts of these sizes are read; None for the order of the only part.

    A shuffled order is a permutation of all rows, so that `limit` gives a random sample. It takes 16 bytes a row.
    """
    if not reading.mix and not reading.shuffle:
        return None
    counts = part_rows(sizes, [weight for _, weight in reading.mix]) if reading.mix else list(sizes)
    if 0 in counts:
        raise SepoError(
            f"the mixture has no row of {reading.parts[counts.index(0)]}: its weight is too small for so few rows",
            "give it a larger weight, or leave it out",
        )
    parts = interleaved(counts)[: reading.limit]
    rows = np.empty(len(parts), np.int64)
    for part, size in enumerate(sizes):
        chosen = np.random.default_rng([reading.seed, part]).permutation(size) if reading.shuffle else np.arange(size)
        here = parts == part
        rows[here] = chosen[: np.count_nonzero(here)]
    return Order(parts, rows)


def runs(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Ascending `rows`, cut at gaps where it is quicker to begin anew than to read on."""
    pieces = np.split(rows, np.flatnonzero(np.diff(rows) > MAX_GAP_ROWS) + 1)
    return (piece for piece in pieces if len(piece))
