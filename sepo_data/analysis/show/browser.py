"""State of the browser of pairs, and the change that each key makes to it; drawing and reading keys is elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from sepo_data.analysis.show.keys import Pasted
from sepo_data.analysis.show.sorts import SORTS
from sepo_data.errors import SepoError
from sepo_data.share import BASIS_POINTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sepo_data.analysis.show.listing import Listing
    from sepo_data.analysis.show.pair import ShownPair
    from sepo_data.analysis.show.pairs import Shares
    from sepo_data.analysis.show.sorts import Sort

STEP, LEAST = 500, 100
"""Basis points: shares go from one multiple of 5% to the next, and down to 1%."""

MOST_TYPED = 200
"""Characters of a text to find that can be typed."""

KEYS = {
    "next pair": "right  n  space",
    "previous pair": "left  p  b",
    "first, last pair": "home g, end G",
    "scroll a line": "down j, up k",
    "scroll a screen": "page down, page up",
    "K of chosen less, more": "c, C",
    "K of rejected less, more": "r, R",
    "K of both less, more": "-, +",
    "find a text (none: all pairs)": "/",
    "sort by something else": "s",
    "turn the order around": "S",
    "these keys": "?  h",
    "quit": "q",
}
"""Actions, each with its keys."""

GOES = dict.fromkeys(("right", "n", " "), "next") | dict.fromkeys(("left", "p", "b"), "previous")
GOES |= dict.fromkeys(("home", "g"), "first") | dict.fromkeys(("end", "G"), "last")
SCROLLS = {"down": (1, 0), "j": (1, 0), "up": (-1, 0), "k": (-1, 0), "page down": (0, 1), "page up": (0, -1)}
"""Lines and screens."""
SELECTS = (
    dict.fromkeys("cC", ("chosen",)) | dict.fromkeys("rR", ("rejected",)) | dict.fromkeys("-+", ("chosen", "rejected"))
)
"""The sides whose K a key changes; it raises K in capitals, and as `+`."""


@dataclass
class Browser:
    """A place in a list of pairs.

    Attributes:
        listing: the pairs in order.
        shares: what is selected.
        place: in the order, from 0.
        copies: rows with the `pair_id` that the first pair was asked for by.
        scroll: lines of the pair above the screen.
        page: lines of the screen for the pair.
        mode: what keys mean: pairs, a text to find that is typed, or the list of keys.
        typed: the text to find so far.
        message: said until the next key.
        busy: called with what will take a while, before it is done.
    """

    listing: Listing
    shares: Shares
    place: int = 0
    copies: int = 1
    scroll: int = 0
    page: int = 1
    mode: Literal["pairs", "find", "keys"] = "pairs"
    typed: str = ""
    message: str = ""
    busy: Callable[[str], None] = lambda _: None
    _shown: tuple[object, list[ShownPair]] | None = None

    @property
    def entry(self) -> int:
        return int(self.listing.order[self.place])

    @property
    def shown(self) -> list[ShownPair]:
        """The pair at this place, as each directory has it; read once."""
        wanted = (self.entry, self.shares)
        if self._shown is None or self._shown[0] != wanted:
            self._shown = (wanted, self.listing.pairs.read(self.entry, self.shares, copies=self.copies))
        return self._shown[1]

    def press(self, key: str) -> bool:
        """Change the state as `key` says; false where it ends the browser."""
        self.message = ""
        if isinstance(key, Pasted):
            if self.mode == "find":
                self._append(key)
            else:
                self.message = "press / before you paste a text to find"
        elif key == "end of file":
            return False
        elif self.mode == "find":
            self._type(key)
        elif key in SCROLLS:
            lines, pages = SCROLLS[key]
            self.scroll = max(self.scroll + lines + pages * max(self.page - 1, 1), 0)
        elif self.mode == "keys":
            self.mode, self.scroll = "pairs", 0
        elif key == "q":
            return False
        else:
            self._act(key)
        return True

    def stay_within(self, lines: int, page: int) -> None:
        """Scroll back to where the last of so many lines is on a screen of `page` lines, not beyond."""
        self.page = page
        self.scroll = max(min(self.scroll, lines - page), 0)

    def _act(self, key: str) -> None:
        if key in GOES:
            last = len(self.listing) - 1
            self._go({"next": self.place + 1, "previous": self.place - 1, "first": 0, "last": last}[GOES[key]])
        elif key in SELECTS:
            self._select(SELECTS[key], more=key in "CR+")
        elif key in {"s", "S"}:
            self._sort(turn=key == "S")
        elif key in {"?", "h"}:
            self.mode, self.scroll = "keys", 0
        elif key == "/":
            self.mode, self.typed = "find", ""

    def _go(self, place: int) -> None:
        if not 0 <= place < len(self.listing):
            self.message = f"this is the {'first' if place < 0 else 'last'} pair"
            return
        if place != self.place:
            self.place, self.scroll, self.copies = place, 0, 1

    def _select(self, sides: tuple[str, ...], *, more: bool) -> None:
        changed = {side: next_share(getattr(self.shares, side), more=more) for side in sides}
        self.shares = replace(self.shares, stored=False, **changed)

    def _sort(self, *, turn: bool) -> None:
        sort = self.listing.sort if turn else self._next_sort()
        if sort == "disagreement":
            self.busy("sorting by disagreement ...")
        down = not self.listing.descending if turn else None
        self.listing = self.listing.sorted_by(sort, self.shares, descending=down)
        self.place = self.scroll = 0
        self.copies = 1

    def _next_sort(self) -> Sort:
        two = len(self.listing.pairs.directories) == 2  # noqa: PLR2004 - that can disagree
        sorts = [sort for sort in SORTS if two or sort != "disagreement"]
        return sorts[(sorts.index(self.listing.sort) + 1) % len(sorts)]

    def _type(self, key: str) -> None:
        match key:
            case "enter":
                self.mode = "pairs"
                self._find()
            case "escape":
                self.mode = "pairs"
            case "clear":
                self.typed = ""
            case "backspace":
                self.typed = self.typed[:-1]
            case _ if len(key) == 1:
                self._append(key)

    def _append(self, text: str) -> None:
        """Add what can be printed of a text to the one that is typed; a line break, as in pasted text, is a blank."""
        letters = "".join(" " if letter in "\t\r\n" else letter for letter in text.strip("\r\n"))
        self.typed = (self.typed + "".join(filter(str.isprintable, letters)))[:MOST_TYPED]

    def _find(self) -> None:
        """Keep the pairs with the typed text; the pair that is shown stays where it has it."""
        entry = self.entry
        self.busy("finding ...")
        try:
            self.listing = self.listing.with_text(self.typed, self.shares)
        except SepoError as error:
            self.message = error.message
            return
        place = self.listing.place_of(entry)
        if place is None:
            self.scroll, self.copies = 0, 1
        self.place = place or 0


def next_share(share: int, *, more: bool) -> int:
    """The next multiple of 5% above or below a share in basis points; below 5% there is 1%."""
    if more:
        return min(share - share % STEP + STEP, BASIS_POINTS)
    return max(-(-share // STEP) * STEP - STEP, LEAST)
