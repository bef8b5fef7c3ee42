"""Read ahead: what comes next is read in processes of its own, while somebody works on what was read last."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from types import ModuleType
from typing import TYPE_CHECKING, Self

from sepo_data.console.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection

    from sepo_data.shapes.pairs import SkippedRow
    from sepo_data.tokenization.tokenize import TokenizedPair

    Batch = tuple[list[TokenizedPair], list[SkippedRow]]

START_UP = 4.0
"""Seconds of reading that have to be left for each process that is started; it takes half of that to be ready."""


class ReadAhead:
    """`read(start, stop)` for many ranges, of which those that come next are read while the last one is used.

    What is read is the same wherever that is done. The first range is read in place, which tells how long the others
    will take, and so is every range that fails in a process, which raises there what it has to raise. The processes
    are spawned, never forked, and end with the `with` block.

    Args:
        read: reads a range of rows; it can be pickled.
        ranges: in the order in which they will probably be asked for.
        workers: how many processes there may be.
        progress: told where a process died.
    """

    def __init__(
        self,
        read: Callable[[int, int], Batch],
        ranges: Sequence[tuple[int, int]],
        *,
        workers: int = 1,
        progress: Progress = SILENT,
    ) -> None:
        self._read, self._ranges, self._most, self._progress = read, list(ranges), workers, progress
        self._passed = 0  # of the ranges, those before this place have been asked for, or will not be
        self._given = 0  # those before this place have been given to a worker, or will not be
        self._workers: list[_Worker] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers or ():
            worker.end()

    def pairs(self, start: int, stop: int) -> Batch:
        """What `read(start, stop)` returns or raises. The ranges before this one are not expected any more."""
        place = self._ranges.index((start, stop)) if (start, stop) in self._ranges else None
        if place is not None:
            self._passed = max(self._passed, place + 1)
            self._given = max(self._given, self._passed)
        answer = self._answer(place)
        self._give_out()
        if answer:
            return answer[0]
        begun = time.monotonic()
        result = self._read(start, stop)
        if self._workers is None:
            rows = sum(stop - start for start, stop in self._ranges[self._given :])
            self._start(rows * (time.monotonic() - begun) / (stop - start))
        return result

    def _start(self, seconds: float) -> None:
        """Start as many workers as the `seconds` that the ranges to come would take are worth."""
        able = not multiprocessing.current_process().daemon  # such a process may start no other
        count = min(self._most, len(self._ranges) - self._given, int(seconds / START_UP)) if able else 0
        self._workers = [_Worker(self._read) for _ in range(count)]
        self._give_out()

    def _give_out(self) -> None:
        """Give the next ranges to the workers that have nothing to do."""
        for worker in self._workers or ():
            if worker.place is not None and worker.place < self._passed and worker.pipe.poll():
                self._receive(worker)  # nobody asked for it: another process has taken that range
            if worker.place is None and worker.alive and self._given < len(self._ranges):
                worker.begin(self._given, self._ranges[self._given])
                self._given += 1

    def _answer(self, place: int | None) -> tuple[Batch] | None:
        """What a worker has read at `place`, once it is there; None where it is better read here."""
        at_work = [worker for worker in self._workers or () if worker.place == place and place is not None]
        return self._receive(at_work[0]) if at_work else None

    def _receive(self, worker: _Worker) -> tuple[Batch] | None:
        try:
            return worker.receive()
        except (EOFError, OSError):
            worker.end()
            died = f"a process that read ahead died (exit code {worker.process.exitcode})"
            self._progress.note(f"{died}; its part is read again")
            return None


class _Worker:
    """A process that reads one range at a time, and where in the list of ranges that one is."""

    def __init__(self, read: Callable[[int, int], Batch]) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=_work, args=(read, theirs), name="sepo-read-ahead", daemon=True)
        self.place: int | None = None
        self.alive = True
        with _apart():
            self.process.start()
        theirs.close()  # only then does the end of the process end the pipe

    def begin(self, place: int, span: tuple[int, int]) -> None:
        self.place = place
        with suppress(OSError):  # it died: whoever wants the answer is told
            self.pipe.send(span)

    def receive(self) -> tuple[Batch] | None:
        self.place = None
        answer: tuple[Batch] | None = self.pipe.recv()
        return answer

    def end(self) -> None:
        self.alive = False
        self.pipe.close()
        self.process.terminate()
        self.process.join()


def _work(read: Callable[[int, int], Batch], pipe: Connection) -> None:
    """Answer with a tuple of what was read, or with None for what failed, until the parent is gone."""
    with suppress(EOFError, OSError):
        while True:
            span = pipe.recv()
            try:
                answer = (read(*span),)
            except Exception:  # noqa: BLE001 - whatever it is, it is met again in place, by somebody who can be told
                answer = None
            pipe.send(answer)


@contextmanager
def _apart() -> Iterator[None]:
    """A process that is started in this block runs nothing of the caller's main module, and is not told of Ctrl-C.

    The main module may be a script that scores without `if __name__ == "__main__"`, which a spawned process would run
    a second time. Ctrl-C reaches all processes of a terminal, and only the first one has something to say about it.
    """
    resource_tracker.ensure_running()  # which would let the signal through again
    main = sys.modules["__main__"]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
