"""Rule `mass`: few tokens where the reward is concentrated, many where it is spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.selection.quota import shares_of_sides, texts_of_sides
from sepo_data.selection.rule import Rule, rule
from sepo_data.selection.scores import elementwise
from sepo_data.share import BASIS_POINTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from sepo_data.selection.quota import Amount


@rule(source="our own")
def mass(share: Amount = "80%", *, chosen: Amount = "", rejected: Amount = "") -> Rule:
    """The fewest tokens, the highest abs(r) first, that carry the share of the response's sum of abs(r).

    Their sign does not matter. Sums in float64 from the highest down. Streams: yes.
    """
    shares = shares_of_sides(share, chosen, rejected)

    def score(side: str) -> pl.Expr:
        import polars as pl

        return pl.col(f"{side}_rewards").list.eval(pl.element().abs())

    def count(side: str, score: pl.Expr) -> pl.Expr:
        import polars as pl

        from sepo_data.selection.ragged import ragged

        def counts(columns: Sequence[pl.Series]) -> pl.Series:
            scores, share = ragged(columns[0]), shares[side].basis_points
            bounds = zip(scores.offsets[:-1].tolist(), scores.offsets[1:].tolist(), strict=True)
            return pl.Series([_carrying(scores.values[start:end], share) for start, end in bounds], dtype=pl.Int64)

        return elementwise(counts, score, dtype=pl.Int64())

    return Rule("mass", texts_of_sides(shares), score, count)


def _carrying(values: NDArray[np.float32], basis_points: int) -> int:
    """The number of the highest `values` that carry a share of their sum; none is negative."""
    import numpy as np

    if not len(values):
        return 0
    carried = np.cumsum(np.sort(values)[::-1], dtype=np.float64)
    return int(np.searchsorted(carried * BASIS_POINTS, carried[-1] * basis_points)) + 1
