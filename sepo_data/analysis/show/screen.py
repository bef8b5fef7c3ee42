"""The terminal as a screen that is drawn as a whole and read by keys; it is left as it was found, however that ends."""

from __future__ import annotations

import os
import select
import signal
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sepo_data.analysis.show.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

    from rich.console import Console, RenderableType

ENTER = "\x1b[?1049h\x1b[?2004h\x1b[?7l\x1b[?25l\x1b[2J"
"""The alternate screen, pasted text between marks, lines that do not wrap by themselves, no cursor."""
LEAVE = "\x1b[?25h\x1b[?7h\x1b[?2004l\x1b[?1049l"

ESCAPE_SECONDS = 0.05
"""Time in which the rest of a key's sequence comes."""
READ_BYTES = 1024
OBEYED = (signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP, signal.SIGQUIT)
"""Signals that are obeyed between two screens; those that end the command raise at once."""
SIZE = (80, 24)
"""Columns and lines of a terminal that does not know."""


@dataclass
class Screen:
    """A terminal to draw on.

    Attributes:
        console: that knows its colours and encoding.
        keyboard: the descriptor of the terminal that keys come from.
        woken: a pipe, readable once a signal has come.
        signals: those that have come. A handler may interrupt a write, so what they ask for is done while waiting.
    """

    console: Console
    keyboard: int
    woken: int
    signals: list[int] = field(default_factory=list)
    _keys: Keys = field(default_factory=Keys)
    _before: list[Any] = field(default_factory=list)

    def enter(self) -> None:
        """Let keys come at once and unseen, on a screen of its own."""
        import termios
        import tty

        self._before = self._before or termios.tcgetattr(self.keyboard)
        tty.setcbreak(self.keyboard, termios.TCSANOW)
        self._write(ENTER)

    def leave(self) -> None:
        """Give the terminal back as it was; one that is gone is no error."""
        import termios

        with suppress(OSError, ValueError):
            self._write(LEAVE)
        with suppress(OSError, termios.error):
            if self._before:
                termios.tcsetattr(self.keyboard, termios.TCSANOW, self._before)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            size = os.get_terminal_size(self.console.file.fileno())
        except OSError:
            return SIZE
        return (size.columns or SIZE[0], size.lines or SIZE[1])

    def lines(self, drawn: RenderableType, width: int) -> list[str]:
        """`drawn` as lines of at most `width` columns, with the colours of this terminal."""
        with self.console.capture() as captured:
            self.console.print(drawn, width=width)
        return captured.get().split("\n")[:-1]

    def draw(self, lines: Sequence[str]) -> None:
        """Draw `lines` from the top; the rest of the screen is empty."""
        text = "\x1b[H" + "\r\n".join(f"\x1b[K{line}" for line in lines) + "\x1b[J"
        self._write(text)

    def wait(self) -> list[str]:
        """Wait for keys; none where the screen has another size, or was left and is back."""
        ready, _, _ = select.select([self.keyboard, self.woken], [], [], ESCAPE_SECONDS if self._keys.waits else None)
        if self.woken in ready:
            os.read(self.woken, READ_BYTES)
            self._obey()
        if self.keyboard in ready:
            try:
                data = os.read(self.keyboard, READ_BYTES)
            except OSError:  # the terminal is gone
                data = b""
            return self._keys.feed(data) if data else ["end of file"]
        return [] if ready else self._keys.flush()

    def _obey(self) -> None:
        """Do what signals ask for: stop or quit, begin again after a stop; another size needs drawing alone."""
        noted = set(self.signals)
        self.signals.clear()
        for number in noted & {signal.SIGTSTP, signal.SIGQUIT}:
            self.leave()
            with _handled({signal.Signals(number): signal.SIG_DFL}):
                os.kill(os.getpid(), number)  # returns once a stopped process goes on
            self.signals.clear()  # of going on, which follows
        if noted & {signal.SIGTSTP, signal.SIGCONT}:
            self.enter()

    def _write(self, text: str) -> None:
        self.console.file.write(text)
        self.console.file.flush()


@contextmanager
def full_screen(console: Console, keyboard: int) -> Iterator[Screen]:
    """Take the terminal over until the end of the block.

    It is given back after an error or a signal that raises as well, and while the suspend key has stopped the process.
    """
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    screen = Screen(console, keyboard, woken)

    def note(number: int, _frame: FrameType | None) -> None:
        screen.signals.append(number)

    with ExitStack() as opened:
        for end in (woken, wake):
            opened.callback(os.close, end)
        # Written to by Python whatever signal comes: one just before a wait would be noticed at the next key alone.
        opened.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(wake, warn_on_full_buffer=False))
        opened.enter_context(_handled(dict.fromkeys(OBEYED, note)))
        opened.callback(screen.leave)
        screen.enter()
        yield screen


@contextmanager
def _handled(
    handlers: Mapping[signal.Signals, Callable[[int, FrameType | None], None] | signal.Handlers],
) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
