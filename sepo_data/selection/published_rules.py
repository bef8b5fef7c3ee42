"""The rules of related methods, from what a rewards dataset holds anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sepo_data.errors import SepoError
from sepo_data.schemas.stages import SIDES
from sepo_data.selection.quota import Amount, amounts_of_sides, finite_number, shares_of_sides, texts_of_sides
from sepo_data.selection.ragged import ragged
from sepo_data.selection.rules import Rule, elementwise, lengths, quota
from sepo_data.selection.share import WHOLE

if TYPE_CHECKING:
    from collections.abc import Sequence


def confidence() -> Rule:
    """ConfPO's rule: tokens whose probability is not above the mean of the response's token probabilities.

    ConfPO (arXiv 2506.08712) asks the policy at every step; this asks the reference model, the policy before its first
    step, once. Both sides alike. A billionth of the mean is allowed for rounding. Streams: yes.
    """

    def count(side: str, _score: pl.Expr) -> pl.Expr:
        def counts(columns: Sequence[pl.Series]) -> pl.Series:
            logps = ragged(columns[0])
            probabilities = logps.with_values(np.exp(logps.values.astype(np.float64)))
            mean = probabilities.sums() / np.maximum(logps.lengths, 1)
            return pl.Series(logps.sums(probabilities.values <= logps.per_token(mean * (1 + 1e-9))))

        return elementwise(counts, pl.col(f"{side}_ref_logps"), kind=pl.Int64())

    return Rule("confidence", {}, lambda side: pl.col(f"{side}_ref_logps").list.eval(-pl.element()), count)


def ref_gap(share: str = "40%", *, chosen: str = "", rejected: str = "") -> Rule:
    """Selective-DPO's rule: where a better model and the policy disagree most, by log-probability.

    Selective-DPO (arXiv 2507.07725) ranks by log p_better - log p_policy on chosen and by the negative on rejected, and
    keeps 40%. Here the better model is the oracle and the policy is the reference model it started from, so that the
    ranking is that of `top` before the rounding of beta. Streams: yes.
    """
    amounts = amounts_of_sides(share, chosen, rejected)

    def score(side: str) -> pl.Expr:
        better, policy = pl.col(f"{side}_oracle_logps"), pl.col(f"{side}_ref_logps")
        return better - policy if side == SIDES[0] else policy - better

    return Rule("ref-gap", texts_of_sides(amounts), score, quota(amounts))


def decay(gamma: str | float = 0.98, share: str = "80%", *, chosen: str = "", rejected: str = "") -> Rule:
    """D2PO's weights as a quota: the first tokens, until they carry a share of the sum of gamma^position.

    D2PO (arXiv 2502.14340) weighs token t by gamma^t, whatever its reward. Streams: yes.
    """
    base, shares = finite_number("gamma", gamma), shares_of_sides(share, chosen, rejected)
    if not 0 < base <= 1:
        raise SepoError(f"gamma is {gamma}, not above 0 and at most 1", "D2PO's example has 0.98")

    def score(side: str) -> pl.Expr:
        def positions(columns: Sequence[pl.Series]) -> pl.Series:
            tokens = ragged(columns[0])
            return tokens.with_values(-tokens.positions).to_series()

        return elementwise(positions, pl.col(f"{side}_rewards"), kind=pl.List(pl.Int64))

    def count(side: str, _score: pl.Expr) -> pl.Expr:
        def counts(columns: Sequence[pl.Series]) -> pl.Series:
            tokens = columns[0].to_numpy().astype(np.int64)
            carried = np.cumsum(base ** np.arange(max(1, tokens.max(initial=1)), dtype=np.float64))
            whole = carried[np.maximum(tokens, 1) - 1]
            return pl.Series(np.searchsorted(carried * WHOLE, whole * shares[side]) + 1)

        return elementwise(counts, lengths(side), kind=pl.Int64())

    arguments = {"gamma": str(base)} | texts_of_sides(
        {side: Amount(basis_points=value) for side, value in shares.items()}
    )
    return Rule("decay", arguments, score, count)
