"""The pairs that are shown, in order: those that a condition and a text leave, sorted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sepo_data.analysis.show.find import rows_where, rows_with_text
from sepo_data.analysis.show.order import ordered
from sepo_data.analysis.show.sorts import DESCENDING
from sepo_data.console.text import shortened
from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sepo_data.analysis.show.pairs import Pairs, Shares
    from sepo_data.analysis.show.sorts import Sort

QUOTED_TEXT = 60
"""Characters of a text or a condition in a message."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Pairs in order.

    Attributes:
        pairs: of which these are all or some.
        allowed: entries that the condition leaves, ascending.
        kept: of these, the entries that have `text`.
        order: `kept`, sorted.
        text: that the pairs have; "" for any.
        sort: what they are sorted by.
        descending: the highest first.
        shares: of the selections whose disagreement they are sorted by.
    """

    pairs: Pairs
    allowed: NDArray[np.int64]
    kept: NDArray[np.int64]
    order: NDArray[np.int64]
    text: str
    sort: Sort
    descending: bool
    shares: Shares

    def __len__(self) -> int:
        return len(self.order)

    def with_text(self, text: str, shares: Shares) -> Listing:
        """The allowed pairs that have `text`.

        Raises:
            SepoError: none has.
        """
        kept = self.allowed
        if text:
            kept = np.intersect1d(kept, _entries(self.pairs, rows_with_text(self.pairs.directories[0], text)))
            if not len(kept):
                raise SepoError(
                    f"no pair has the text {shortened(text, QUOTED_TEXT)!r}",
                    "it is looked for in prompt, chosen and rejected, in upper and lower case; give a part of it",
                )
        order = ordered(self.pairs, kept, self.sort, descending=self.descending, shares=shares)
        return replace(self, kept=kept, order=order, text=text, shares=shares)

    def sorted_by(self, sort: Sort, shares: Shares, *, descending: bool | None = None) -> Listing:
        """The same pairs in another order, the default direction of `sort` where none is given."""
        down = DESCENDING[sort] if descending is None else descending
        order = ordered(self.pairs, self.kept, sort, descending=down, shares=shares)
        return replace(self, order=order, sort=sort, descending=down, shares=shares)

    def find(self, pair: str | None) -> tuple[int, int]:
        """The place of pair `pair`, the first where it is None, and the rows with that id; 1 where a number is given.

        Raises:
            SepoError: there is no such pair, or it is not among these.
        """
        if pair is None and len(self):
            return 0, 1
        entry, copies = self.pairs.find(pair or "0")
        place = self.place_of(entry)
        if place is None:
            raise SepoError(
                f"pair {shortened(pair or '0')!r} is not among the {len(self):,} that --find and --where leave",
                "leave --pair out to begin with the first of them",
            )
        return place, copies

    def place_of(self, entry: int) -> int | None:
        """The place of an entry in the order, from 0; None where it is not among these pairs."""
        found = np.flatnonzero(self.order == entry)
        return int(found[0]) if len(found) else None


def list_pairs(
    pairs: Pairs, shares: Shares, *, where: str | None = None, text: str = "", sort: Sort, descending: bool | None
) -> Listing:
    """List the pairs that a condition and a text leave, sorted.

    Args:
        pairs: to choose from.
        shares: of the selections whose disagreement is sorted by.
        where: a condition in SQL over the columns of the first directory.
        text: that they have in the prompt or a response.
        sort: what they are sorted by.
        descending: the highest first; by default as is usual for `sort`.

    Raises:
        SepoError: the condition cannot be answered, or no pair is left.
    """
    allowed = np.arange(len(pairs))
    if where is not None:
        allowed = _entries(pairs, rows_where(pairs.directories[0], where))
        if not len(allowed):
            raise SepoError(
                f"--where: no pair of {pairs.directories[0].folder} meets {shortened(where, QUOTED_TEXT)}",
                "`sepo query DIR @worst-pairs` shows values of pairs",
            )
    down = DESCENDING[sort] if descending is None else descending
    listed = Listing(pairs, allowed, allowed, allowed, "", sort, down, shares)
    return listed.with_text(text, shares)


def _entries(pairs: Pairs, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The entries whose number in the first directory is among `rows`."""
    return np.flatnonzero(np.isin(pairs.rows[0], rows))
