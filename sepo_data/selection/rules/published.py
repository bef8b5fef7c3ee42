"""Rules of related methods, from what a rewards dataset holds anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.selection.arguments import finite_number
from sepo_data.selection.quota import quotas_of_sides, shares_of_sides, texts_of_sides
from sepo_data.selection.rule import Rule, rule
from sepo_data.selection.scores import earliest_first, elementwise, lengths
from sepo_data.share import BASIS_POINTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from sepo_data.selection.quota import Amount


@rule(source="ConfPO, [2506.08712](https://arxiv.org/abs/2506.08712)")
def confidence() -> Rule:
    """Tokens with p_ref at most the mean of p_ref over the response, on both sides alike.

    ConfPO asks the policy at every step; this asks the reference model, the policy before its first step, once. A
    billionth of the mean is allowed for rounding. Streams: yes.
    """

    def score(side: str) -> pl.Expr:
        import polars as pl

        return pl.col(f"{side}_ref_logps").list.eval(-pl.element())

    def count(side: str, _score: pl.Expr) -> pl.Expr:
        import numpy as np
        import polars as pl

        from sepo_data.selection.ragged import ragged

        def counts(columns: Sequence[pl.Series]) -> pl.Series:
            logps = ragged(columns[0])
            probabilities = logps.with_values(np.exp(logps.values.astype(np.float64)))
            mean = probabilities.sums() / np.maximum(logps.lengths, 1)
            return pl.Series(logps.sums(probabilities.values <= logps.per_token(mean * (1 + 1e-9))))

        return elementwise(counts, pl.col(f"{side}_ref_logps"), dtype=pl.Int64())

    return Rule("confidence", {}, score, count)


@rule(source="Selective-DPO, [2507.07725](https://arxiv.org/abs/2507.07725)")
def ref_gap(share: Amount = "40%", *, chosen: Amount = "", rejected: Amount = "") -> Rule:
    """The highest log p_oracle - log p_ref on chosen, the lowest on rejected.

    Selective-DPO ranks by log p_better - log p_policy, and keeps 40%. Here the better model is the oracle and the
    policy is the reference model it started from, so the ranking is that of `top` before the rounding of beta.
    Streams: yes.
    """
    quotas = quotas_of_sides(share, chosen, rejected)

    def score(side: str) -> pl.Expr:
        import polars as pl

        better, policy = pl.col(f"{side}_oracle_logps"), pl.col(f"{side}_ref_logps")
        return better - policy if side == "chosen" else policy - better

    return Rule("ref-gap", texts_of_sides(quotas), score, quotas=quotas)


@rule(source="D2PO's weights, [2502.14340](https://arxiv.org/abs/2502.14340), as a quota")
def decay(gamma: str | float = 0.98, share: Amount = "80%", *, chosen: Amount = "", rejected: Amount = "") -> Rule:
    """The first tokens, the fewest that carry the share of the sum of gamma^t over places t.

    D2PO weighs token t by gamma^t, whatever its reward. Streams: yes.
    """
    base, shares = finite_number("gamma", gamma), shares_of_sides(share, chosen, rejected)
    if not 0 < base <= 1:
        raise SepoError(f"gamma is {gamma}, not above 0 and at most 1", "D2PO's example has 0.98")

    def count(side: str, _score: pl.Expr) -> pl.Expr:
        import numpy as np
        import polars as pl

        def counts(columns: Sequence[pl.Series]) -> pl.Series:
            tokens = columns[0].to_numpy()
            carried = np.cumsum(base ** np.arange(max(1, tokens.max(initial=1)), dtype=np.float64))
            total = carried[np.maximum(tokens, 1) - 1]
            return pl.Series(np.searchsorted(carried * BASIS_POINTS, total * shares[side].basis_points) + 1)

        return elementwise(counts, lengths(side), dtype=pl.Int64())

    return Rule("decay", {"gamma": str(base)} | texts_of_sides(shares), earliest_first, count)
