"""Progress reports of a running stage; a command shows them, a library call ignores them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Progress(Protocol):
    """Receives the reports of a stage."""

    def note(self, text: str) -> None:
        """A decision or a finding, in a sentence."""

    def step(self, done: int, total: int, text: str) -> None:
        """`done` of `total` units of work are finished; `text` describes the last one."""

    def metrics(self, done: int, total: int, values: Mapping[str, float]) -> None:
        """The metrics logged after `done` of `total` training steps."""


class Silent:
    """A `Progress` that ignores all reports."""

    def note(self, text: str) -> None:
        pass

    def step(self, done: int, total: int, text: str) -> None:
        pass

    def metrics(self, done: int, total: int, values: Mapping[str, float]) -> None:
        pass


SILENT = Silent()
