"""Shares of a response, held as integer basis points: 0.07 * 100 is not 7 in floating point."""

from __future__ import annotations

from decimal import Decimal

WHOLE = 10_000


def parse_share(text: str) -> int:
    """`30%` or `0.3` as basis points (3000). A bare 30 could mean either and is refused, as is more than 100%.

    Raises:
        ValueError: with a sentence that says what to write.
    """
    stripped = text.strip()
    try:
        value = Decimal(stripped.removesuffix("%")) * (100 if stripped.endswith("%") else WHOLE)
    except ArithmeticError:
        value = Decimal("NaN")
    if not value.is_finite():
        raise ValueError(f"{text!r} is not a share: write 30% or 0.3")
    if not stripped.endswith("%") and value > WHOLE:
        raise ValueError(f"{text!r} may mean a percentage or a fraction: write {stripped}% or a number up to 1")
    if not 0 < value <= WHOLE:
        raise ValueError(f"{text!r} is not a share: write more than 0% and at most 100%")
    if value != int(value):
        raise ValueError(f"{text!r} is finer than a hundredth of a percent")
    return int(value)


def format_share(basis_points: int) -> str:
    """3000 as `30%`."""
    return f"{Decimal(basis_points) / 100:f}%"


def quota(tokens: int, basis_points: int) -> int:
    """How many of `tokens` a share selects: max(1, floor(share x n)), in integers."""
    return max(1, tokens * basis_points // WHOLE)
