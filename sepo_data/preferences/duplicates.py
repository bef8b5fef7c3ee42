"""Pairs that come more than once, found in bounded memory: 16 bytes a pair while they are looked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sepo_data.shapes.pairs import Pair


@dataclass(frozen=True, eq=False)
class Duplicates:
    """The 8-byte ids of the pairs that come more than once, ascending, and the row in which each comes first."""

    ids: NDArray[np.uint64]
    firsts: NDArray[np.int64]
    count: int  # the pairs that are set aside

    def first_row(self, pair: Pair) -> int:
        """The row in which `pair` comes first; its own, for nearly every pair."""
        pair_id = np.uint64(int(pair.pair_id, 16))
        place = int(np.searchsorted(self.ids, pair_id))
        found = place < len(self.ids) and self.ids[place] == pair_id
        return int(self.firsts[place]) if found else pair.source_row


def find_duplicates(ids: NDArray[np.uint64], rows: NDArray[np.int64]) -> tuple[Duplicates, NDArray[np.intp]]:
    """The duplicates among pairs with `ids` in `rows`, and the places of the pairs that stay."""
    ascending = np.lexsort((rows, ids))
    ids, rows = ids[ascending], rows[ascending]
    begins = np.flatnonzero(np.diff(ids, prepend=~ids[:1]) != 0)
    repeated = np.diff(begins, append=len(ids)) > 1
    found = Duplicates(ids[begins[repeated]], rows[begins[repeated]], len(ids) - len(begins))
    return found, ascending[begins]
