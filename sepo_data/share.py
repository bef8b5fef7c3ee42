"""Shares of a number of things, as integers in basis points: 0.07 * 100 is not 7 in floating point."""

from __future__ import annotations

from decimal import Decimal
from numbers import Integral, Real
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

N = TypeVar("N", "int", "NDArray[np.int64]", "pl.Expr")

Share: TypeAlias = str | float
"""A share as people write it: `"30%"`, `"0.3"` or 0.3, where a whole number is ambiguous; `parse_share` reads it."""

BASIS_POINTS = 10_000
"""Of a whole: a share is an integer number of them."""

ROUNDING = 1e-9
"""Of a basis point: 0.1 + 0.2 is 30%."""


MOST_DIGITS = 18
"""Before or behind the decimal point of a share: Python would compute 1e999999999 as an integer, without an end."""


LONGEST_TEXT = 40
"""Characters of a text that is no share, in its message."""


def share_of(n: N, basis_points: int) -> N:
    """max(1, floor(share x n)) in integers: one formula for an int, an int64 array and a Polars expression of Int64."""
    floor: N = n * basis_points // BASIS_POINTS
    k: N = floor + (floor == 0)
    return k


def parse_share(share: Share) -> int:
    """Read `30%` or `0.3` as basis points (3000). A bare 30 is ambiguous and refused, as is more than 100%.

    A number has a fractional part or is 1.0: an integer may be a percentage, so 1 is refused where 1.0 is not.

    Raises:
        ValueError: it is no share; the message is a sentence with what to write.
    """
    text = share if isinstance(share, str) else _written(share)
    stripped = text.strip()
    try:
        value = Decimal(stripped.removesuffix("%")) * (100 if stripped.endswith("%") else BASIS_POINTS)
    except ArithmeticError:
        value = Decimal("NaN")
    if len(text) > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT]}..."
    if not value.is_finite() or abs(value.adjusted()) > MOST_DIGITS:
        raise ValueError(f"{text!r} is not a share: write 30% or 0.3")
    if not stripped.endswith("%") and value > BASIS_POINTS:
        raise ValueError(f"{text!r} may mean a percentage or a fraction: write {stripped}% or a number up to 1")
    if not 0 < value <= BASIS_POINTS:
        raise ValueError(f"{text!r} is not a share: write more than 0% and at most 100%")
    if value != int(value):
        raise ValueError(f"{text!r} is finer than a hundredth of a percent")
    return int(value)


def _written(number: object) -> str:
    """A number that is no integer as text, without its rounding in floating point."""
    if isinstance(number, Decimal):
        return str(number)
    if isinstance(number, Integral) or not isinstance(number, Real):
        raise ValueError(f"{number!r} is not a share: write '30%' or 0.3")  # noqa: TRY004 - one type for the caller
    points = float(number) * BASIS_POINTS
    near = abs(points) < 2 * BASIS_POINTS and abs(points - round(points)) < ROUNDING
    return f"{round(points) / BASIS_POINTS:.4f}" if near else str(number)


def format_share(basis_points: int) -> str:
    """Write 3000 as `30%`."""
    return f"{Decimal(basis_points) / 100:f}%"
