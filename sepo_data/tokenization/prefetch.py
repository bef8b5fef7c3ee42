"""Read the next range of rows in a thread while the caller works on the last one.

One thread and no processes: to tokenize 8,000 chat pairs for a caller that launches short torch operations between them
took 14 to 25 s with a thread, 17 to 25 s without, and 22 to 30 s with a spawned process, on two cores that were shared.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sepo_data.shapes.pairs import SkippedRow
    from sepo_data.tokenization.tokenize import TokenizedPair

    Batch = tuple[list[TokenizedPair], list[SkippedRow]]


class Prefetcher:
    """`read(start, stop)` for many ranges, with the next range read while the caller works on the last one.

    The result of a range is the same either way, and so is its exception, which is raised where the range is asked
    for. Two ranges are never read at the same time.

    Args:
        read: reads a range of rows.
        ranges: in the order in which they will probably be asked for.
    """

    def __init__(self, read: Callable[[int, int], Batch], ranges: Sequence[tuple[int, int]]) -> None:
        self._read, self._ranges = read, list(ranges)
        self._asked: set[tuple[int, int]] = set()
        self._next: tuple[tuple[int, int], Future[Batch]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._next is not None and error is None:  # an interrupt does not wait for the thread
            self._next[1].exception()

    def pairs(self, start: int, stop: int) -> Batch:
        """The result of `read(start, stop)`; then the thread reads the range after this one."""
        span = (start, stop)
        try:
            if self._next is not None:
                expected, future = self._next
                if expected == span:
                    return future.result()
                future.exception()  # wait for the thread: another process has taken that range
            return self._read(start, stop)
        finally:
            self._begin_after(span)

    def _begin_after(self, span: tuple[int, int]) -> None:
        """Start to read the range after `span` that was not asked for yet; none comes after an unexpected one."""
        self._asked.add(span)
        later = self._ranges[self._ranges.index(span) + 1 :] if span in self._ranges else []
        following = next((each for each in later if each not in self._asked), None)
        self._next = None
        if following is not None:
            future: Future[Batch] = Future()
            self._next = (following, future)
            threading.Thread(target=self._fill, args=(future, *following), daemon=True).start()

    def _fill(self, future: Future[Batch], start: int, stop: int) -> None:
        try:
            future.set_result(self._read(start, stop))
        except BaseException as error:  # noqa: BLE001 - raised where the range is asked for
            future.set_exception(error)
