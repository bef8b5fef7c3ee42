"""What a stage tells while it runs; a command shows it, a library call ignores it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Progress(Protocol):
    """The listener of a stage."""

    def note(self, text: str) -> None:
        """Something that was decided or found, in a sentence."""

    def step(self, done: int, total: int, text: str) -> None:
        """`done` of `total` units of work are finished; `text` describes the last one."""

    def metrics(self, done: int, total: int, values: Mapping[str, float]) -> None:
        """What was logged after `done` of `total` training steps."""


class Silent:
    """Listens to nothing."""

    def note(self, text: str) -> None:
        pass

    def step(self, done: int, total: int, text: str) -> None:
        pass

    def metrics(self, done: int, total: int, values: Mapping[str, float]) -> None:
        pass


SILENT = Silent()
