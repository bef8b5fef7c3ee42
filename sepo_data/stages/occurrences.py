"""Copies of a pair, told apart by their order: joins of two datasets are by pair_id and occurrence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Occurrences:
    """Counts how often each pair_id came; in memory are the ids so far."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def count(self, pair_ids: Iterable[str]) -> list[int]:
        """For each of the next rows the number of earlier ones with the same id, from 0."""
        counts = self._counts
        found = []
        for pair_id in pair_ids:
            earlier = counts.get(pair_id, 0)
            counts[pair_id] = earlier + 1
            found.append(earlier)
        return found
