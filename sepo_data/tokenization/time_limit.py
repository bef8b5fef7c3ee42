"""A limit on the time that code of another author computes: it is stopped where it is, in any thread."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOK_SECONDS = 0.5  # between two looks at the clocks


class OverTimeError(BaseException):
    """The time is over. No `except Exception` in the code that is stopped catches it."""


@dataclass(eq=False)
class _Watched:
    thread: int
    clock: Callable[[], float]
    end: float
    stopped: bool = False


_watched: set[_Watched] = set()
_changing = threading.Condition()
_watchman: threading.Thread | None = None


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise an `OverTimeError` in the block once this thread has computed for `seconds` in it.

    Waiting does not count where the system has a clock for each thread, and neither does a process that is stopped. A
    single call into C code is not interrupted, but what follows it.
    """
    clock = _clock_of_thread()
    entry = _Watched(threading.get_ident(), clock, clock() + seconds)
    _watch(entry)
    try:
        yield
    finally:
        with _changing:
            _watched.discard(entry)
            if entry.stopped:
                _interrupt(entry.thread, None)
    if entry.stopped:
        raise OverTimeError


def _clock_of_thread() -> Callable[[], float]:
    if not hasattr(time, "pthread_getcpuclockid"):  # macOS
        return time.monotonic
    clock = time.pthread_getcpuclockid(threading.get_ident())
    return lambda: time.clock_gettime(clock)


def _watch(entry: _Watched) -> None:
    global _watchman  # noqa: PLW0603 - one thread for the whole process; none is left after a fork
    with _changing:
        _watched.add(entry)
        if _watchman is None or not _watchman.is_alive():
            _watchman = threading.Thread(target=_look, name="time limits", daemon=True)
            _watchman.start()
        elif len(_watched) == 1:
            _changing.notify()


def _look() -> None:
    while True:
        with _changing:
            while not _watched:
                _changing.wait()
            for entry in _watched:
                if not entry.stopped and entry.clock() > entry.end:
                    entry.stopped = True
                    _interrupt(entry.thread, OverTimeError)
        time.sleep(LOOK_SECONDS)


def _forget() -> None:
    """Begin anew after a fork: a child has none of the other threads, and perhaps a lock that one of them held."""
    global _changing, _watchman
    _changing, _watchman = threading.Condition(), None
    _watched.clear()


os.register_at_fork(after_in_child=_forget)


def _interrupt(thread: int, error: type[BaseException] | None) -> None:
    """Raise `error` in a thread, soon; None takes back what was not raised yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error) if error else None)
