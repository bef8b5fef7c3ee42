"""What a stage tells while it runs; a command shows it, a library call ignores it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """The listener of a stage."""

    def note(self, text: str) -> None:
        """Something that was decided or found, in a sentence."""

    def step(self, done: int, total: int, text: str) -> None:
        """`done` of `total` units of work are finished; `text` describes the last one."""


class Silent:
    """Listens to nothing."""

    def note(self, text: str) -> None:
        pass

    def step(self, done: int, total: int, text: str) -> None:
        pass


SILENT = Silent()
