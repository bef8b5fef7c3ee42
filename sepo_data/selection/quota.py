"""How many tokens of a response: a share of it (`30%`) or a number (`16 tokens`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sepo_data.errors import SepoError
from sepo_data.schemas.stages import SIDES
from sepo_data.selection.share import WHOLE, format_share, parse_share

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Amount:
    """A share in basis points, or a number of tokens; the other one is 0."""

    basis_points: int = 0
    tokens: int = 0

    def of(self, lengths: pl.Expr) -> pl.Expr:
        """The k for responses of so many tokens: max(1, floor(share x n)) in integers, or the number itself."""
        if self.tokens:
            return pl.lit(self.tokens, dtype=pl.Int64) + lengths.cast(pl.Int64) * 0  # a value for each row
        return (lengths.cast(pl.Int64) * self.basis_points // WHOLE).clip(lower_bound=1)

    def of_array(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same for an array."""
        k: NDArray[np.int64] = lengths * self.basis_points // WHOLE if self.basis_points else lengths * 0 + self.tokens
        return k.clip(1)

    def __str__(self) -> str:
        if self.basis_points:
            return format_share(self.basis_points)
        return f"{self.tokens} token{'s' * (self.tokens != 1)}"


def parse_amount(text: str | Amount) -> Amount:
    """`30%`, `0.3`, `16 tokens` or `16t`."""
    if isinstance(text, Amount):
        return text
    if match := re.fullmatch(r"(\d+) ?(?:t|tokens?)", str(text).strip()):
        if not int(match[1]):
            raise SepoError(f"{text!r} is no amount: a response keeps at least one token", "write 1 token, or 30%")
        return Amount(tokens=int(match[1]))
    try:
        return Amount(basis_points=parse_share(str(text)))
    except ValueError as error:
        raise SepoError(str(error), "a share of each response is 30% or 0.3, a number of tokens is 16t") from None


def amounts_of_sides(share: str, chosen: str, rejected: str) -> dict[str, Amount]:
    """The amount of each side: its own, or that of both."""
    return dict(zip(SIDES, (parse_amount(chosen or share), parse_amount(rejected or share)), strict=True))


def shares_of_sides(share: str, chosen: str, rejected: str) -> dict[str, int]:
    """The share of each side in basis points: its own, or that of both."""
    try:
        return dict(zip(SIDES, (parse_share(chosen or share), parse_share(rejected or share)), strict=True))
    except ValueError as error:
        raise SepoError(str(error), "this rule takes a share, such as 30%") from None


def texts_of_sides(amounts: dict[str, Amount]) -> dict[str, str]:
    """The amounts as the manifest records them."""
    return {side: str(amount) for side, amount in amounts.items()}


def finite_number(name: str, text: str | float, *, example: float = 0.1) -> float:
    """The argument `name` of a rule or of weights as a number."""
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise SepoError(f"{name}={text} is not a number", f"write {name}={example}")
    return number


def whole_number(name: str, text: str | int) -> int:
    """The argument `name` of a rule as a whole number from 0."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise SepoError(f"{name}={text} is not a whole number from 0", f"write {name}=1")
    return number
