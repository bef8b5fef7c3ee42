"""Quotas: how many tokens of a response are selected, a share of them (`30%`) or a number (`16 tokens`)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sepo_data.errors import SepoError
from sepo_data.share import MOST_DIGITS, N, format_share, parse_share, share_of


@dataclass(frozen=True, slots=True)
class Quota:
    """A share in basis points, or a number of tokens; the other one is 0."""

    basis_points: int = 0
    tokens: int = 0

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


def parse_quota(text: str | Quota) -> Quota:
    """Read `30%`, `0.3`, `16 tokens` or `16t`.

    Raises:
        SepoError: the text is none of them.
    """
    if isinstance(text, Quota):
        return text
    if match := re.fullmatch(r"(\d+) ?(?:t|tokens?)", str(text).strip()):
        if len(match[1]) > MOST_DIGITS:
            raise SepoError(f"{match[1][:MOST_DIGITS]}... is no quota: it has {len(match[1]):,} digits", "write 16t")
        if not int(match[1]):
            raise SepoError(f"{text!r} is no quota: a response keeps at least one token", "write 1 token, or 30%")
        return Quota(tokens=int(match[1]))
    try:
        return Quota(parse_share(str(text)))
    except ValueError as error:
        raise SepoError(str(error), "a share of each response is 30% or 0.3, a number of tokens is 16t") from None


def quotas_of_sides(share: str, chosen: str, rejected: str) -> dict[str, Quota]:
    """The quota of each side: its own, or `share`."""
    return {"chosen": parse_quota(chosen or share), "rejected": parse_quota(rejected or share)}


def shares_of_sides(share: str, chosen: str, rejected: str) -> dict[str, Quota]:
    """The share of each side, for rules that take no number of tokens: its own, or `share`.

    Raises:
        SepoError: a text is no share.
    """
    try:
        return {"chosen": Quota(parse_share(chosen or share)), "rejected": Quota(parse_share(rejected or share))}
    except ValueError as error:
        raise SepoError(str(error), "this rule takes a share, such as 30%") from None


def texts_of_sides(quotas: dict[str, Quota]) -> dict[str, str]:
    """The quotas as the manifest records them."""
    return {side: str(quota) for side, quota in quotas.items()}
