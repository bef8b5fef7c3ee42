"""Lines at the foot of the screen: the place, the order, what a selection keeps, and the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.analysis.show.browser import KEYS
from sepo_data.analysis.show.kept import disagreement_of, kept_of
from sepo_data.console.text import aligned_columns, shortened, spelt_out, terminal_width
from sepo_data.share import format_share

if TYPE_CHECKING:
    from sepo_data.analysis.show.browser import Browser
    from sepo_data.analysis.show.directory import Directory
    from sepo_data.analysis.show.pair import ShownPair
    from sepo_data.analysis.show.pairs import Shares

HINT, SHORT_HINT = "arrows pair, scroll  c C r R K  / find  s sort  ? keys  q quit", "? keys  q quit"
SHOWN_TEXT = 40
"""Characters of a text that was found."""


def status_lines(browser: Browser, width: int) -> list[str]:
    """The foot of a screen of `width` columns, each line escaped and of any length."""
    if browser.mode == "keys":
        return ["any other key goes back to the pairs"]
    if browser.mode == "find":
        return [f"find: {spelt_out(browser.typed)}_  (enter, or escape)"]
    listing = browser.listing
    place = f"{browser.place + 1:,} of {len(listing):,}"
    place += f"  sort {listing.sort} {'descending' if listing.descending else 'ascending'}"
    if listing.sort == "disagreement" and listing.shares != browser.shares:
        place += " of the K before"
    if listing.text:
        place += f"  find {shortened(spelt_out(listing.text), SHOWN_TEXT)!r}"
    directories = listing.pairs.directories
    lines = [place]
    for directory, name, pair in zip(directories, listing.pairs.names, browser.shown, strict=True):
        label = f"{name}  " if len(directories) > 1 else ""
        long, short = (
            f"{label}{selection_text(directory, browser.shares, short=short)}: {kept_text(pair, short=short)}"
            for short in (False, True)
        )
        lines.append(long if terminal_width(long) <= width else short)
    if len(directories) > 1 and (disagreement := disagreement_of(*browser.shown)) is not None:
        lines[0] += f"  disagreement {disagreement:.3f}"
    lines += [directory.note for directory in directories if directory.note]
    return [*lines, browser.message or (HINT if width >= len(HINT) else SHORT_HINT)]


def selection_text(directory: Directory, shares: Shares, *, short: bool = False) -> str:
    """The selection that is shown: the stored masks, or the shares; of both responses, in the order of the screen."""
    if directory.has_masks and shares.stored:
        return "stored masks"
    again = "re-selected, " if directory.has_masks else ""
    chosen, rejected = format_share(shares.chosen), format_share(shares.rejected)
    return f"{again}K {chosen} / {rejected}" if short else f"{again}K {chosen} chosen, {rejected} rejected"


def kept_text(pair: ShownPair, *, short: bool = False) -> str:
    """The part of a pair that its selection keeps, in words."""
    kept = kept_of(pair)
    tokens = f"{kept.selected} of {kept.tokens} tokens, {kept.absolute:.1%} of |reward|"
    return f"{tokens}, margin {kept.margin:+.3f}" if short else (f"{tokens}, margin of the selected {kept.margin:+.3f}")


def key_lines() -> list[str]:
    """The list of keys."""
    return aligned_columns(list(KEYS.items()), right=())
