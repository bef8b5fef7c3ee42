"""Pairs in order: by a number of each pair, equal ones as on disk. Token lists are read for the disagreement alone."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sepo_data.schemas.stages import SIDES
from sepo_data.selection.ragged import ragged
from sepo_data.selection.rules.top import top
from sepo_data.share import format_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sepo_data.analysis.show.pairs import Pairs, Shares
    from sepo_data.analysis.show.sorts import Sort


def ordered(
    pairs: Pairs, kept: NDArray[np.int64], sort: Sort, *, descending: bool, shares: Shares
) -> NDArray[np.int64]:
    """The entries `kept` of `pairs`, which ascend, by `sort`; equal ones stay as they are."""
    values = sort_values(pairs, sort, shares)[kept]
    return kept[np.argsort(-values if descending else values, kind="stable")]


def sort_values(pairs: Pairs, sort: Sort, shares: Shares) -> NDArray[np.float64]:
    """(pairs,) what pairs are sorted by; where two directories differ, that of the first."""
    if sort == "row":
        return np.asarray(pairs.rows[0], np.float64)
    if sort == "disagreement":
        return disagreements(pairs, shares)
    frame = pairs.scalars
    if sort == "length":
        return (frame["chosen_tokens"].cast(pl.Int64) + frame["rejected_tokens"]).cast(pl.Float64).to_numpy()
    return frame[{"margin": "margin", "reward": "chosen_reward"}[sort]].cast(pl.Float64).to_numpy()


def disagreements(pairs: Pairs, shares: Shares) -> NDArray[np.float64]:
    """(pairs,) 1 - Jaccard of the tokens that the two directories select, both responses together.

    In memory are the lists of one shard of the first directory and of their partners. 0 where neither selects a token,
    nan, which any order has at its end, where the tokens of a pair differ.
    """
    rule = top(chosen=format_share(shares.chosen), rejected=format_share(shares.rejected))
    first = pairs.directories[0]
    parts = [np.empty(0)]
    for start, end in pairwise(np.searchsorted(pairs.rows[0], first.starts)):
        frames = []
        for directory, rows in zip(pairs.directories, pairs.rows, strict=True):
            stored = shares.stored and directory.has_masks
            lists = ("ids", "rewards", "mask") if stored else ("ids", "rewards")
            columns = ["pair_id", *(f"{side}_{name}" for side in SIDES for name in lists)]
            frame = directory.rows_at(rows[start:end], columns)
            frames.append(frame if stored else rule.with_masks(frame.lazy()).collect())
        parts.append(_disagreement(*frames))
    return np.concatenate(parts)


def _disagreement(a: pl.DataFrame, b: pl.DataFrame) -> NDArray[np.float64]:
    """(rows,) 1 - Jaccard of the masks of each row; nan where its tokens differ."""
    same = np.logical_and.reduce([a[f"{side}_ids"].eq_missing(b[f"{side}_ids"]).to_numpy() for side in SIDES])
    found = np.full(a.height, np.nan)
    found[same] = _distance(a.filter(same), b.filter(same)) if not same.all() else _distance(a, b)
    return found


def _distance(a: pl.DataFrame, b: pl.DataFrame) -> NDArray[np.float64]:
    both, either = np.zeros(a.height), np.zeros(a.height)
    for side in SIDES:
        one, other = ragged(a[f"{side}_mask"]), ragged(b[f"{side}_mask"])
        both += one.sums(one.values & other.values)
        either += one.sums(one.values | other.values)
    return np.where(either > 0, 1 - both / np.maximum(either, 1), 0.0)
