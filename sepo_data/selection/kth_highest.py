"""The k-th highest of all float32 values in a dataset: exact, out of core, in memory that does not grow with it.

A float32 is 32 bits, and bits that are turned the right way order as the numbers do. So two counts are enough, each of
65,536 bins: one pass finds the upper 16 bits of the k-th value, another one the lower 16 among those that share them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

HALF = 1 << 16
BLOCK = 1 << 20


def kth_highest(batches: Callable[[], Iterable[NDArray[np.float32]]], k: int) -> tuple[float, int]:
    """The k-th highest (from 1) of all values in `batches`, which is called twice; and how many are higher.

    -0.0 counts as 0.0.
    """
    upper, above = _descend(_count(batches(), None), k)
    lower, between = _descend(_count(batches(), upper), k - above)
    key = np.array([upper * HALF + lower], np.uint32)
    bits = np.where(key >> 31, key & 0x7FFFFFFF, ~key)
    return float(bits.astype(np.uint32).view(np.float32)[0]), above + between


def _count(batches: Iterable[NDArray[np.float32]], upper: int | None) -> NDArray[np.int64]:
    """How many values have each upper half of the key, or each lower half among those with this `upper` one."""
    counts = np.zeros(HALF, np.int64)
    for batch in batches:
        for start in range(0, len(batch), BLOCK):
            key = _keys(batch[start : start + BLOCK])
            half = key >> 16 if upper is None else key[key >> 16 == upper] & (HALF - 1)
            counts += np.bincount(half.astype(np.intp), minlength=HALF)
    return counts


def _keys(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Unsigned integers in the order of the values."""
    bits = (values + np.float32(0)).view(np.uint32)  # + 0 makes 0.0 of -0.0
    keys: NDArray[np.uint32] = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return keys


def _descend(counts: NDArray[np.int64], k: int) -> tuple[int, int]:
    """The bin that holds the k-th highest value, and how many are in higher bins."""
    from_top = np.cumsum(counts[::-1])
    place = int(np.searchsorted(from_top, k))
    return HALF - 1 - place, int(from_top[place - 1]) if place else 0
