"""Counts and sums of rewards by groups of tokens, and the columns of a figure's table that follow from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from sepo_data.errors import SepoError
from sepo_data.report.intervals import mean_interval
from sepo_data.stages.token_text import AGAIN

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUMS = ("tokens", "reward", "squares", "absolute_reward")
"""The rows of `reward_sums`: number of tokens, and the sums of their rewards, of the squares and of the sizes."""


def reward_sums(groups: NDArray[Any], rewards: NDArray[Any], size: int) -> NDArray[np.float64]:
    """(SUMS, size) counts and sums of the tokens of each group.

    Args:
        groups: (tokens,) the number of each token's group, below `size`.
        rewards: (tokens,).
        size: number of groups.
    """
    index, values = groups.astype(np.intp, copy=False), rewards.astype(np.float64)
    columns = (None, values, values * values, np.abs(values))
    # Counts are exact as float64: they are below 2 ** 53.
    return np.stack([np.bincount(index, weights, size).astype(np.float64) for weights in columns])


def with_means(sums: pl.DataFrame) -> pl.DataFrame:
    """`mean_reward` and the bounds `low` and `high` of its 95% interval in the place of `reward` and `squares`.

    Null in a group without tokens; no interval where there is but one.
    """
    count, total, squares = pl.col("tokens"), pl.col("reward"), pl.col("squares")
    low, high = mean_interval(count, total, squares)
    means = {"mean_reward": pl.when(count > 0).then(total / count), "low": low, "high": high}
    return sums.with_columns(**means).drop("reward", "squares")


def check_vocabulary(ids: NDArray[Any], size: int) -> None:
    """Raise where a token id has no place in the vocabulary of the tokenizer beside the data.

    Raises:
        SepoError: an id is not below `size`.
    """
    if len(ids) and (highest := int(ids.max())) >= size:
        raise SepoError(f"token id {highest} is not in the tokenizer of the directory, which has {size:,} ids", AGAIN)
