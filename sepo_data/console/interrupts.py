"""Signals that stop a command: Ctrl-C, and those of a scheduler that takes the machine back.

The first one raises in the main thread, so that files, locks and the terminal are left in order and the command prints
how to go on. A second Ctrl-C ends the process at once, wherever it is.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

PREEMPTIONS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Signals that end a process which does not handle them, and that schedulers send some time before they kill it."""

REPEATED_SECONDS = 2.0
"""Time in which launchers may send the same signal again, directly and to the group of processes."""

_DEFAULTS = {signal.SIG_DFL, signal.default_int_handler}
_SHOW_CURSOR = b"\x1b[?25h"


class Stopped(KeyboardInterrupt):
    """Raised by a signal of a scheduler."""


@dataclass
class _Received:
    """Signals that this process has received, and what it does with the next one."""

    process: int = field(default_factory=os.getpid)
    noted: int = 0  # a signal of a scheduler that waits for the end of a step
    raised: int = 0  # the signal that raised
    when: float = 0.0
    postponed: bool = False


_received = _Received()


def raise_on_signals() -> None:
    """From here on, signals that stop the command raise in the main thread; one that is ignored stays ignored."""
    global _received  # noqa: PLW0603 - signals belong to the process
    if threading.current_thread() is not threading.main_thread():
        return
    _received = _Received()
    for number in (signal.SIGINT, *PREEMPTIONS):
        if signal.getsignal(number) not in {signal.SIG_IGN, None}:
            signal.signal(number, _raise)
    sys.unraisablehook = _raise_again


def end_on_signals() -> None:
    """From here on, a scheduler's signal ends the process at once, as the system does it.

    For commands that only read: a handler of Python has to wait until Polars has computed.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in PREEMPTIONS:
        if signal.getsignal(number) is _raise:
            signal.signal(number, signal.SIG_DFL)


def leave_on_signals() -> None:
    """From here on, signals end the process at once, without a traceback: nothing is left to be put in order."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, *PREEMPTIONS):
        if signal.getsignal(number) is _raise:
            signal.signal(number, lambda received, _: os._exit(128 + (_received.raised or received)))


def stopped_by() -> int:
    """The number of the signal that has stopped the command; 0 for none."""
    return _received.raised


def preempted() -> bool:
    """True if a scheduler's signal waits for the end of a step, in the block of `postponed`."""
    return bool(_received.noted)


@contextmanager
def postponed() -> Iterator[None]:
    """While the block runs, a scheduler's signal is noted for `preempted`, and no more."""
    before, _received.postponed = _received.postponed, True
    try:
        yield
    finally:
        _received.postponed = before


@contextmanager
def not_postponed(*, alone: bool) -> Iterator[None]:
    """Within `postponed`, let a scheduler's signal raise while the block runs, if this process is `alone`."""
    before = _received.postponed
    try:
        if alone:
            _received.postponed = False
            if _received.noted:
                raise_noted()
        yield
    finally:
        _received.postponed = before


def raise_noted() -> None:
    """Raise for the signal that was noted, in this process or in another one of the run."""
    _received.raised = _received.noted or signal.SIGTERM
    raise Stopped


def note_again() -> None:
    """Take `Stopped` for noted: what it interrupted can go on to a better place to stop."""
    _received.noted, _received.raised = _received.raised, 0


def _raise(number: int, _frame: FrameType | None) -> None:
    if os.getpid() != _received.process:  # a forked child has no such manners
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    now, before = time.monotonic(), _received.when
    if number == signal.SIGINT:
        if _received.raised:
            _leave(number)
        _received.raised, _received.when = number, now
        raise KeyboardInterrupt
    if _received.raised:
        if now - before > REPEATED_SECONDS:
            _leave(number)
        return
    _received.when = now
    if _received.postponed:
        _received.noted = _received.noted or number
        return
    _received.raised = number
    raise Stopped


def _leave(number: int) -> None:
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, _SHOW_CURSOR)
    os._exit(128 + number)


def _raise_again(lost: sys.UnraisableHookArgs) -> None:
    """Send the signal once more, when its exception was lost in a destructor or in a callback of C."""
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    number, _received.raised = _received.raised, 0
    if number:
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
