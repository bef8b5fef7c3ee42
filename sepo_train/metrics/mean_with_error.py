"""A mean and how far chance may have moved it: every number of an evaluation is one of these."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

Estimate: TypeAlias = "dict[str, float | None]"
"""`mean`, and `se`, its standard error: null where there is but one value."""


def mean_with_error(values: Sequence[float]) -> Estimate:
    """The mean of independent `values`, and the standard error of it: s / sqrt(n)."""
    return ratio_with_error(values, [1] * len(values))


def ratio_with_error(totals: Sequence[float], sizes: Sequence[int]) -> Estimate:
    """The mean over all parts of independent items: sum(totals) / sum(sizes), such as nats a token over answers.

    Args:
        totals: sum over the parts of each item.
        sizes: how many parts each item has.

    Returns:
        The ratio R, and its standard error to first order: sqrt(sum((total - R * size)^2) * n / (n - 1)) / sum(sizes).
        Parts of one item are not taken for independent; where all items have one part, it is s / sqrt(n).
    """
    total, size = np.asarray(totals, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    ratio, items = float(total.sum() / size.sum()), len(total)
    if items == 1:
        return {"mean": round(ratio, 6), "se": None}
    spread = float(((total - ratio * size) ** 2).sum()) * items / (items - 1)
    return {"mean": round(ratio, 6), "se": round(math.sqrt(spread) / float(size.sum()), 6)}
