"""Scores and counts that rules share, as Polars expressions over the columns of a rewards dataset.

Polars and NumPy are imported inside the functions: rules are listed by help and completion, which compute nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from sepo_data.selection.ragged import Ragged

CERTAIN = 1 << 32
"""The lowest score of a token that a rule takes in any case; `certain` counts them."""


def signed_rewards(side: str) -> pl.Expr:
    """The rewards of `side` with the sign that makes high ones good: as they are on chosen, negated on rejected."""
    import polars as pl

    rewards = pl.col(f"{side}_rewards")
    return rewards if side == "chosen" else rewards.list.eval(-pl.element())


def earliest_first(side: str) -> pl.Expr:
    """A score that is the higher the earlier a token of `side` stands in its response, Int64."""
    import polars as pl

    from sepo_data.selection.ragged import ragged

    def negated_places(columns: Sequence[pl.Series]) -> pl.Series:
        tokens = ragged(columns[0])
        return tokens.with_values(-tokens.positions).to_series()

    return elementwise(negated_places, pl.col(f"{side}_rewards"), dtype=pl.List(pl.Int64))


def lengths(side: str) -> pl.Expr:
    """The number of tokens of each response of `side`, Int64."""
    import polars as pl

    return pl.col(f"{side}_rewards").list.len().cast(pl.Int64)


def certain(_side: str, score: pl.Expr) -> pl.Expr:
    """The number of tokens of each response with a score from `CERTAIN` on."""
    import polars as pl

    return score.list.eval(pl.element() >= CERTAIN).list.sum()


def certain_where(mask: NDArray[np.bool_], scores: Ragged[np.float32]) -> pl.Series:
    """A list column of Int64 in the order of the `scores`, from `CERTAIN` on where `mask`, (tokens,), is true.

    So a bound that cuts the tokens of `mask` keeps the highest scores, and one that fills up goes on with the highest.
    """
    import numpy as np

    from sepo_data.selection.kth_highest import ordered_keys

    keys = ordered_keys(scores.values.astype(np.float32, copy=False)).astype(np.int64)
    return scores.with_values(keys + np.where(mask, CERTAIN, 0)).to_series()


def elementwise(
    function: Callable[[Sequence[pl.Series]], pl.Series],
    *columns: pl.Expr,
    dtype: Any = None,  # noqa: ANN401
) -> pl.Expr:
    """Apply `function` to complete columns; a row of its result depends on that row alone, so the expression streams.

    `dtype` is that of the result: float32 scores by default.
    """
    import polars as pl

    return pl.map_batches(columns, function, return_dtype=dtype or pl.List(pl.Float32), is_elementwise=True)
