"""One pass over all pairs that finds duplicates and the holdout prompts, in bounded memory: 24 bytes a pair."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sepo_data.preferences.holdout import Holdout, HoldoutSize, find_holdout
from sepo_data.shapes.pairs import Pair

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from sepo_data.shapes.pairs import SkippedRow


@dataclass(frozen=True, eq=False)
class Duplicates:
    """The pairs that come more than once.

    Attributes:
        ids: their 8-byte ids, ascending.
        first_rows: the row in which each comes first.
        count: the pairs that repeat an earlier one, and are skipped.
    """

    ids: NDArray[np.uint64]
    first_rows: NDArray[np.int64]
    count: int

    def first_row(self, pair: Pair) -> int:
        """The row in which `pair` comes first; its own, for nearly every pair."""
        pair_id = np.uint64(int(pair.pair_id, 16))
        place = int(np.searchsorted(self.ids, pair_id))
        found = place < len(self.ids) and self.ids[place] == pair_id
        return int(self.first_rows[place]) if found else pair.source_row


def scan_pairs(
    items: Iterable[Pair | SkippedRow], *, dedupe: bool, holdout: HoldoutSize
) -> tuple[Duplicates | None, Holdout | None]:
    """Read all pairs once, in any order; None for each result that was not asked for, or has no pair."""
    ids, prompts, rows = array("Q"), array("Q"), array("q")
    for item in items:
        if isinstance(item, Pair):
            ids.append(int(item.pair_id, 16))
            prompts.append(int(item.prompt_id, 16))
            rows.append(item.source_row)
    pair_ids, prompt_ids = np.asarray(ids), np.asarray(prompts)
    duplicates = None
    if dedupe:
        duplicates, kept = find_duplicates(pair_ids, np.asarray(rows))
        prompt_ids = prompt_ids[kept]
    return duplicates, find_holdout(prompt_ids, holdout) if holdout and ids else None


def find_duplicates(ids: NDArray[np.uint64], rows: NDArray[np.int64]) -> tuple[Duplicates, NDArray[np.intp]]:
    """The duplicates among pairs with `ids` in `rows`, and the indices of the pairs that are kept."""
    ascending = np.lexsort((rows, ids))
    ids, rows = ids[ascending], rows[ascending]
    begins = np.flatnonzero(np.diff(ids, prepend=~ids[:1]) != 0)
    repeated = np.diff(begins, append=len(ids)) > 1
    found = Duplicates(ids[begins[repeated]], rows[begins[repeated]], len(ids) - len(begins))
    return found, ascending[begins]
