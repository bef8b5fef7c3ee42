"""Bins of lengths and positions, from one power of two to the next: 0, 1, 2-3, 4-7, 8-15, and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def bin_of(values: NDArray[Any]) -> NDArray[np.int64]:
    """The number of the bin of each whole number from 0, which is its number of bits."""
    return np.frexp(values.astype(np.float64))[1].astype(np.int64)


def bin_bounds(number: int) -> tuple[int, int]:
    """The lowest and the highest value in a bin."""
    return (1 << number) >> 1, (1 << number) - 1


def bin_text(low: int, high: int) -> str:
    """A bin as a label."""
    return f"{low:,}" if low == high else f"{low:,}\N{EN DASH}{high:,}"
