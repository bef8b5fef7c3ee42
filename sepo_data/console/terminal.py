"""Progress for people: a bar if standard error is a terminal, otherwise one plain line a step."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from sepo_data.console.streams import below
from sepo_data.console.text import spelt_out
from sepo_data.console.training_table import TrainingTable, metrics_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType


class Terminal:
    """A `Progress` on standard error; `quiet` prints nothing, `bars` draws bars if standard error is a terminal."""

    def __init__(self, *, quiet: bool = False, bars: bool = True) -> None:
        self._console = Console(file=below(sys.stderr), quiet=quiet, soft_wrap=True, highlight=False, emoji=False)
        self._bars = bars and self._console.is_terminal and not quiet
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._live: Live | None = None
        self._table = TrainingTable()

    def note(self, text: str) -> None:
        """Print a line; markup and control characters in it are plain text."""
        self._console.print(spelt_out(text), markup=False)

    def step(self, done: int, total: int, text: str) -> None:
        """Advance the bar, or print one line."""
        if not self._bars:
            self.note(f"{done:>{len(str(total))}}/{total}  {text}")
            return
        if self._bar is None:
            self._start(total).start()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, description=spelt_out(text))
        if done >= total:
            self._stop()

    def metrics(self, done: int, total: int, values: Mapping[str, float]) -> None:
        """Update the table and its bar, or print one line."""
        if not self._bars:
            self.note(f"{done:>{len(str(total))}}/{total}  {metrics_line(values)}")
            return
        self._table.add(done, values)
        bar = self._bar or self._start(total)
        if self._task is not None:
            bar.update(self._task, completed=done, total=total)
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
            self._live.start()
        self._live.update(Group(*self._table.tables(), bar), refresh=True)

    def _start(self, total: int) -> Progress:
        description = TextColumn("{task.description}", markup=False)
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), description)
        self._bar = Progress(*columns, console=self._console, redirect_stdout=False, redirect_stderr=False)
        self._task = self._bar.add_task("", total=total)
        return self._bar

    def _stop(self) -> None:
        """End the bar; later lines are printed below it."""
        if self._live is not None:
            self._live.stop()
            self._live = self._bar = self._task = None
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
