"""Progress for people: a bar where standard error is a terminal, one plain line a step where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from types import TracebackType


class Terminal:
    """A `Progress` on standard error; `quiet` keeps it silent, `bars` chooses bars where they can be drawn."""

    def __init__(self, *, quiet: bool = False, bars: bool = True) -> None:
        self._console = Console(stderr=True, quiet=quiet, soft_wrap=True, highlight=False)
        self._bars = bars and self._console.is_terminal and not quiet
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def note(self, text: str) -> None:
        """Print a sentence; markup in data is data."""
        self._console.print(text, markup=False)

    def step(self, done: int, total: int, text: str) -> None:
        """Advance the bar, or print one line."""
        if not self._bars:
            self.note(f"{done:>{len(str(total))}}/{total}  {text}")
            return
        if self._bar is None:
            columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=self._console)
            self._task = self._bar.add_task("", total=total)
            self._bar.start()
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=total, description=text.replace("[", r"\["))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
