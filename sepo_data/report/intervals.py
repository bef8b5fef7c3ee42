"""95% intervals of shares and means, as Polars expressions over counts and sums."""

from __future__ import annotations

import polars as pl

Z = 1.959963984540054
"""97.5% quantile of the normal distribution."""

Interval = tuple[pl.Expr, pl.Expr]
"""The lower and the upper bound."""


def wilson_interval(successes: pl.Expr, total: pl.Expr) -> Interval:
    """The score interval of the share `successes / total`; null where there is nothing to count.

    (p + z^2/2n -+ z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n), E. B. Wilson, "Probable Inference, the Law of
    Succession, and Statistical Inference", JASA 22 (1927). It stays within 0 and 1, and 0 of n and n of n have an
    interval of some width, too. It takes the cases as independent.
    """
    n = pl.when(total > 0).then(total.cast(pl.Float64))
    p = successes / n
    half = Z * (p * (1 - p) / n + Z**2 / (4 * n**2)).sqrt()
    centre, scale = p + Z**2 / (2 * n), 1 + Z**2 / n
    # At the ends the difference is 0 but for rounding.
    low = pl.when(successes == 0).then(n * 0).otherwise((centre - half) / scale)
    high = pl.when(successes == total).then(n * 0 + 1).otherwise((centre + half) / scale)
    return low, high


def mean_interval(count: pl.Expr, total: pl.Expr, squares: pl.Expr) -> Interval:
    """The normal interval of a mean: mean -+ z s / sqrt(n), s^2 = (squares - total^2/n) / (n - 1).

    It takes the values as independent, and is too narrow where those of one response go together. Null for fewer than
    two values.

    Args:
        count: n, the number of values.
        total: their sum, Float64.
        squares: the sum of their squares, Float64.
    """
    n = pl.when(count > 1).then(count.cast(pl.Float64))
    mean = total / n
    # Of equal values the difference is 0 but for rounding, which may make it negative.
    variance = ((squares - total * mean) / (n - 1)).clip(lower_bound=0.0)
    half = Z * (variance / n).sqrt()
    return mean - half, mean + half
