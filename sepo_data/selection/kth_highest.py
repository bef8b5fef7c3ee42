"""The k-th highest of all float32 values in a dataset: exact, out of core, in memory that does not grow with it.

The 32 bits of a float32, some of them inverted, are an unsigned integer in the order of the numbers. So two histograms
of 65,536 bins are enough: one pass finds the upper 16 bits of the k-th value, another one the lower 16 among the values
that share them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

BINS = 1 << 16
"""Values of one half of a key: 16 bits."""

BLOCK_VALUES = 1 << 20


def kth_highest(batches: Callable[[], Iterable[NDArray[np.float32]]], k: int) -> tuple[float, int]:
    """The k-th highest (from 1) of all values in `batches`, which is called twice; and the number of higher ones.

    -0.0 counts as 0.0.
    """
    upper, above = _descend(_count(batches(), None), k)
    lower, between = _descend(_count(batches(), upper), k - above)
    key = np.array([upper * BINS + lower], np.uint32)
    bits = np.where(key >> 31, key & 0x7FFFFFFF, ~key)
    return float(bits.astype(np.uint32).view(np.float32)[0]), above + between


def _count(batches: Iterable[NDArray[np.float32]], upper: int | None) -> NDArray[np.int64]:
    """(BINS,) the number of values with each upper half of the key, or with each lower half under this `upper` one."""
    counts = np.zeros(BINS, np.int64)
    for batch in batches:
        for start in range(0, len(batch), BLOCK_VALUES):
            key = ordered_keys(batch[start : start + BLOCK_VALUES])
            half = key >> 16 if upper is None else key[key >> 16 == upper] & (BINS - 1)
            counts += np.bincount(half.astype(np.intp), minlength=BINS)
    return counts


def ordered_keys(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Unsigned integers in the order of the values, which are no NaN; -0.0 and 0.0 have the same."""
    bits = (values + np.float32(0)).view(np.uint32)  # + 0 makes 0.0 of -0.0
    keys: NDArray[np.uint32] = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return keys


def _descend(counts: NDArray[np.int64], k: int) -> tuple[int, int]:
    """The bin that holds the k-th highest value, and the number of values in higher bins."""
    from_top = np.cumsum(counts[::-1])
    place = int(np.searchsorted(from_top, k))
    return BINS - 1 - place, int(from_top[place - 1]) if place else 0
