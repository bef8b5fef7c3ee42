"""The loop of the browser: draw the pair above the foot, wait for keys, change the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from sepo_data.analysis.show.render import render_pairs
from sepo_data.analysis.show.screen import full_screen
from sepo_data.analysis.show.status import key_lines, status_lines
from sepo_data.console.text import terminal_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from sepo_data.analysis.show.browser import Browser
    from sepo_data.analysis.show.pair import ShownPair
    from sepo_data.analysis.show.render import Colours
    from sepo_data.analysis.show.screen import Screen


def browse(browser: Browser, console: Console, keyboard: int, *, colours: Colours) -> None:
    """Page through pairs until a key ends it.

    Args:
        browser: the state to begin with.
        console: of the terminal to draw on; what is drawn is escaped.
        keyboard: the descriptor of the terminal that keys come from.
        colours: of the terminal.
    """
    with full_screen(console, keyboard) as screen:
        display = Display(browser, screen, colours)
        browser.busy = display.say
        going = True
        while going:
            display.draw()
            going = all(browser.press(key) for key in screen.wait())


@dataclass
class Display:
    """A browser on a screen."""

    browser: Browser
    screen: Screen
    colours: Colours
    _seen: Sequence[str] = ()
    _pair: tuple[Sequence[ShownPair], int, list[str]] | None = None

    def draw(self) -> None:
        """Draw the state; the browser gets to know how many lines are for the pair, and stays within it."""
        browser, (width, height) = self.browser, self.screen.size
        lines = self._key_lines(width) if browser.mode == "keys" else self._pair_lines(width)
        texts = status_lines(browser, width)
        foot = self._foot(texts)
        if browser.mode != "find" and len(lines) > height - len(foot):
            browser.stay_within(len(lines), height - len(foot))
            foot = self._foot([f"{texts[0]}  line {browser.scroll + 1}/{len(lines)}", *texts[1:]])
        browser.stay_within(len(lines), height - len(foot))
        body = lines[browser.scroll : browser.scroll + browser.page]
        self._seen = [*body, *[""] * (browser.page - len(body)), *foot]
        self.screen.draw(self._seen)

    def say(self, text: str) -> None:
        """Write a text over the last line, until the next drawing."""
        self.screen.draw([*self._seen[:-1], *self._foot([text])[:1]])

    def _key_lines(self, width: int) -> list[str]:
        return self.screen.lines(Text("\n".join(key_lines())), width)

    def _pair_lines(self, width: int) -> list[str]:
        """The pair in lines, made once: of a long one, it takes longer than a key that scrolls may."""
        shown = self.browser.shown
        if self._pair is None or self._pair[0] is not shown or self._pair[1] != width:
            names = self.browser.listing.pairs.names
            drawn = render_pairs(shown, names, colours=self.colours, width=width)
            self._pair = (shown, width, self.screen.lines(drawn, width))
        return self._pair[2]

    def _foot(self, lines: Sequence[str]) -> list[str]:
        """The foot, wrapped; at most half of the screen, of which the end is left out.

        A bar, or where there are no styles, below a line.
        """
        width, height = self.screen.size
        first, *others = lines
        if self.colours == "none" and (room := width - terminal_width(first) - 2) > 0:
            first += f"  {'-' * room}"
        wrapped = self.screen.lines(Padding(Text("\n".join([first, *others])), style="reverse"), width)
        return wrapped[: max(height // 2, 1)]
