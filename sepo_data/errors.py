"""Errors that a user can act on. Any other error is a bug and keeps its traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class SepoError(Exception):
    """An error that the user can fix: the message names the problem and the place, the hint the next step.

    The details are lines below the message; neither it nor any of them begins a line of its own where it is printed.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "", *, details: Iterable[str] = ()) -> None:
        self.lines = [message, *(f"  {detail}" for detail in details)]
        self.message = "\n".join(self.lines)
        super().__init__(self.message)
        self.hint = hint


class RefusedError(SepoError):
    """The output holds data that this command must not touch."""

    exit_code = 3


class HubError(SepoError):
    """The Hub could not be reached, or refused the credentials."""

    exit_code = 4


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the name of its class if it has no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def is_failure(error: BaseException) -> bool:
    """True for an error of the work itself: an `Exception`, or a panic of code in Rust, which is none."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and the errors that it was raised from or while, the latest first."""
    current: BaseException | None = error
    seen: set[int] = set()
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
