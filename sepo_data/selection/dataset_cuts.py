"""Passes over a complete dataset for the rules that need one: a quantile of the rewards, the cut of a global budget.

Batch by batch, in memory that does not grow with the dataset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from sepo_data.errors import SepoError
from sepo_data.selection.kth_highest import kth_highest
from sepo_data.selection.ragged import Ragged, ragged
from sepo_data.selection.scores import signed_rewards
from sepo_data.selection.top_k import top_k_mask
from sepo_data.share import BASIS_POINTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sepo_data.selection.quota import Quota


def quantile(frame: pl.LazyFrame, side: str, basis_points: int) -> float:
    """The reward of `side` at place floor(q x (N - 1)) of N in ascending order: an element of the dataset.

    Raises:
        SepoError: `frame` has no tokens.
    """
    sign = 1.0 if side == "chosen" else -1.0
    tokens = sum(len(scores.values) for scores, _ in _batches(frame, side))
    if not tokens:
        raise SepoError("a dataset without tokens has no quantiles", "score a dataset that has pairs")
    place = basis_points * (tokens - 1) // BASIS_POINTS
    value, _ = kth_highest(
        lambda: (np.float32(sign) * scores.values for scores, _ in _batches(frame, side)), tokens - place
    )
    return value


def budget_cut(frame: pl.LazyFrame, side: str, share: Quota) -> dict[str, Any]:
    """The score above which every token is taken, and the row up to which those equal to it are.

    Returns:
        `cut`, None where the best tokens of the responses are the complete budget; `last_row`, a `source_row`, and
        `of_last_row`, the number of tokens equal to `cut` that are taken of it.

    Raises:
        SepoError: the rows are not in ascending order of `source_row`.
    """
    tokens = given = 0
    last = -1
    for scores, rows in _batches(frame, side):
        tokens, given = tokens + len(scores.values), given + int((scores.lengths > 0).sum())
        if len(rows) and (rows[0] <= last or (np.diff(rows) <= 0).any()):
            raise SepoError("source_row does not ascend, so equal rewards have no order", "select without `budget`")
        last = int(rows[-1]) if len(rows) else last
    left = share.k_of(tokens) - given
    if not tokens or left <= 0:
        return {"cut": None, "last_row": -1, "of_last_row": 0}
    cut, higher = kth_highest(lambda: (_without_best(scores).values for scores, _ in _batches(frame, side)), left)
    left -= higher
    for scores, rows in _batches(frame, side):
        others = _without_best(scores)
        equal = others.sums(others.values == np.float32(cut))
        if equal.sum() >= left:
            row = int(np.searchsorted(np.cumsum(equal), left))
            return {"cut": cut, "last_row": int(rows[row]), "of_last_row": int(left - equal[:row].sum())}
        left -= int(equal.sum())
    raise RuntimeError("the dataset changed while it was read")


def budget_counts(score: pl.Series, source_rows: pl.Series, cut: dict[str, Any]) -> pl.Series:
    """The number of tokens that the budget with this `cut` takes of each response, Int64."""
    scores, rows = ragged(score), source_rows.to_numpy()
    counts = np.minimum(scores.lengths, 1)
    if cut["cut"] is not None:
        others, value = _without_best(scores), np.float32(cut["cut"])
        equal = others.sums(others.values == value)
        taken = np.where(rows < cut["last_row"], equal, np.where(rows == cut["last_row"], cut["of_last_row"], 0))
        counts = counts + others.sums(others.values > value) + taken
    return pl.Series(counts, dtype=pl.Int64)


def _batches(frame: pl.LazyFrame, side: str) -> Iterator[tuple[Ragged[np.float32], NDArray[np.int64]]]:
    """The signed rewards and the source rows of `side`, batch by batch in the order of the dataset."""
    wanted = frame.select(signed_rewards(side).alias("score"), "source_row")
    for batch in wanted.collect_batches(lazy=True, maintain_order=True):
        yield ragged(batch["score"]), batch["source_row"].to_numpy()


def _without_best(scores: Ragged[np.float32]) -> Ragged[np.float32]:
    """The scores without the best one of each response."""
    [best] = top_k_mask(scores, [np.ones(len(scores.lengths), np.int64)])
    return Ragged(scores.values[~best], np.concatenate([[0], np.cumsum(scores.sums(~best))]))
