"""Quotas: how many tokens of a response are selected, a share of them (`30%`) or a number (`16 tokens`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, Union

from sepo_data.checked import at_least, check_fields
from sepo_data.errors import SepoError
from sepo_data.share import BASIS_POINTS, MOST_DIGITS, N, Share, format_share, parse_share, share_of

if TYPE_CHECKING:
    from collections.abc import Callable

Amount: TypeAlias = Union[Share, "Quota"]
"""A quota as people write it, `"30%"`, 0.3 or `"16t"`, or as an object; `parse_quota` reads it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A share in basis points, or a number of tokens; the other one is 0."""

    basis_points: int = 0
    tokens: int = 0

    def __post_init__(self) -> None:
        check_fields(self, basis_points=at_least(0), tokens=at_least(0))
        if bool(self.basis_points) is bool(self.tokens) or self.basis_points > BASIS_POINTS:
            raise SepoError(
                f"{self.basis_points} basis points and {self.tokens} tokens are no quota",
                "write Quota(basis_points=3000) for 30%, or Quota(tokens=16)",
            )

    def k_of(self, n: N) -> N:
        """The k of a response of `n` tokens: max(1, floor(share x n)) in integers, or the number itself.

        One formula for an int, an array of int64 and a Polars expression of Int64. A number of tokens may exceed n;
        `top_k_mask` then marks all of them.
        """
        k: N = share_of(n, self.basis_points) if self.basis_points else n * 0 + self.tokens
        return k

    def __str__(self) -> str:
        if self.basis_points:
            return format_share(self.basis_points)
        return f"{self.tokens} token{'s' * (self.tokens != 1)}"


def parse_quota(amount: Amount) -> Quota:
    """Read `30%`, `0.3`, `16 tokens` or `16t`; a number is a share, as in `parse_share`.

    Raises:
        SepoError: it is none of them.
    """
    if isinstance(amount, Quota):
        return amount
    if match := re.fullmatch(r"(\d+) ?(?:t|tokens?)", str(amount).strip()):
        if len(match[1]) > MOST_DIGITS:
            raise SepoError(f"{match[1][:MOST_DIGITS]}... is no quota: it has {len(match[1]):,} digits", "write 16t")
        if not int(match[1]):
            raise SepoError(f"{amount!r} is no quota: a response keeps at least one token", "write 1 token, or 30%")
        return Quota(tokens=int(match[1]))
    try:
        return Quota(basis_points=parse_share(amount))
    except ValueError as error:
        raise SepoError(str(error), "a share of each response is 30% or 0.3, a number of tokens is 16t") from None


def parse_share_quota(amount: Amount, place: str) -> Quota:
    """Read a share alone, such as `30%`, where a number of tokens has no meaning.

    Raises:
        SepoError: it is no share; `place` begins the hint: "this rule".
    """
    try:
        quota = amount if isinstance(amount, Quota) else Quota(basis_points=parse_share(amount))
    except ValueError as error:
        raise SepoError(str(error), f"{place} takes a share, such as 30%") from None
    if quota.tokens:
        raise SepoError(f"{quota} is a number, not a share", f"{place} takes a share, such as 30%")
    return quota


def quotas_of_sides(share: Amount, chosen: Amount, rejected: Amount) -> dict[str, Quota]:
    """The quota of each side: its own, or `share` where that is an empty text."""
    return _of_sides(parse_quota, share, chosen, rejected)


def shares_of_sides(share: Amount, chosen: Amount, rejected: Amount) -> dict[str, Quota]:
    """The share of each side, for rules that take no number of tokens: its own, or `share`.

    Raises:
        SepoError: it is no share.
    """
    return _of_sides(partial(parse_share_quota, place="this rule"), share, chosen, rejected)


def _of_sides(read: Callable[[Amount], Quota], share: Amount, chosen: Amount, rejected: Amount) -> dict[str, Quota]:
    amounts = {"chosen": chosen, "rejected": rejected}
    return {side: read(own if own != "" else share) for side, own in amounts.items()}


def texts_of_sides(quotas: dict[str, Quota]) -> dict[str, str]:
    """The quotas as the manifest records them."""
    return {side: str(quota) for side, quota in quotas.items()}
