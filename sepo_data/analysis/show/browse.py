"""The loop of the browser: draw the pair, wait for keys, change the state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from sepo_data.analysis.show.render import render_pairs
from sepo_data.analysis.show.screen import full_screen
from sepo_data.analysis.show.status import key_lines, status_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from sepo_data.analysis.show.browser import Browser
    from sepo_data.analysis.show.screen import Screen


def browse(browser: Browser, console: Console, keyboard: int, *, colour: bool) -> None:
    """Page through pairs until a key ends it.

    Args:
        browser: the state to begin with.
        console: of the terminal to draw on; what is drawn is escaped.
        keyboard: the descriptor of the terminal that keys come from.
        colour: or brackets.
    """
    with full_screen(console, keyboard) as screen:
        browser.busy = lambda text: screen.draw(_framed(screen, [], [text], 0))
        going = True
        while going:
            screen.draw(drawn(browser, screen, colour=colour))
            going = all(browser.press(key) for key in screen.wait())


def drawn(browser: Browser, screen: Screen, *, colour: bool) -> list[str]:
    """The lines of the whole screen; `browser` gets to know how many are for the pair, and stays within it."""
    width, _ = screen.size
    if browser.mode == "keys":
        lines = screen.lines(Text("\n".join(key_lines())), width)
    else:
        names = browser.listing.pairs.names
        lines = screen.lines(render_pairs(browser.shown, names, colour=colour, width=width), width)
    foot = status_lines(browser, width)
    _stay_within(browser, screen, lines, foot)
    if browser.mode == "pairs" and len(lines) > browser.page:
        foot[0] += f"  line {browser.scroll + 1} of {len(lines)}"
        _stay_within(browser, screen, lines, foot)
    return _framed(screen, lines, foot, browser.scroll)


def _stay_within(browser: Browser, screen: Screen, lines: Sequence[str], foot: Sequence[str]) -> None:
    browser.page = screen.size[1] - len(_foot(screen, foot))
    browser.scroll = max(min(browser.scroll, len(lines) - browser.page), 0)


def _framed(screen: Screen, lines: Sequence[str], foot: Sequence[str], scroll: int) -> list[str]:
    below = _foot(screen, foot)
    page = screen.size[1] - len(below)
    body = list(lines[scroll : scroll + page])
    return [*body, *[""] * (page - len(body)), *below]


def _foot(screen: Screen, lines: Sequence[str]) -> list[str]:
    """The foot, wrapped; at most half of the screen, of which the end is left out."""
    width, height = screen.size
    wrapped = screen.lines(Text("\n".join(lines), style="reverse"), width)
    return wrapped[: max(height // 2, 1)]
