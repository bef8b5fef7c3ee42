"""The tokens and rewards that the rule `top` keeps at every share from 1% to 100%: one sort serves all shares.

The k tokens with the highest rewards of a response have the highest rewards whichever of equal ones are taken, so sums
need no ties resolved: the rewards of each response are sorted, and every k is a look-up in their cumulative sums.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from sepo_data.schemas.stage_names import SIDES
from sepo_data.selection.ragged import ragged
from sepo_data.share import share_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sepo_data.report.source import Source
    from sepo_data.selection.ragged import Ragged

PERCENTS = np.arange(1, 101)
"""Shares of each response: the values of K."""


def kept_by_share(source: Source) -> pl.DataFrame:
    """Tokens and rewards that `sepo select` keeps with the rule `top` at every share. Streams: one shard at a time.

    Returns:
        200 rows, those of chosen first: `side`; `share_percent` (Int32) from 1 to 100; `tokens` (Int64), the sum over
        the responses of k = max(1, floor(share x n)); `reward` and `absolute_reward` (Float64), the sums of the rewards
        of these tokens and of their sizes |reward|.
    """
    totals = {side: np.zeros((3, len(PERCENTS))) for side in SIDES}
    for frame in source.frames([f"{side}_rewards" for side in SIDES]):
        for side in SIDES:
            totals[side] += _kept(ragged(frame[f"{side}_rewards"]), highest=side == "chosen")
    return pl.concat(_side_table(side, *totals[side]) for side in SIDES)


def _side_table(
    side: str, tokens: NDArray[np.float64], reward: NDArray[np.float64], absolute: NDArray[np.float64]
) -> pl.DataFrame:
    columns = {
        "side": [side] * len(PERCENTS),
        "share_percent": PERCENTS.astype(np.int32),
        "tokens": tokens.astype(np.int64),  # exact: below 2 ** 53
        "reward": reward,
        "absolute_reward": absolute,
    }
    return pl.DataFrame(columns)


def _kept(rewards: Ragged[Any], *, highest: bool) -> NDArray[np.float64]:
    """(3, shares) tokens, rewards and sizes of rewards that are kept of these responses."""
    ordered = rewards.values.copy()
    for start, end in pairwise(rewards.offsets.tolist()):
        ordered[start:end].sort()
    ordered = ordered.astype(np.float64)
    # behind[i] is the sum of the first i values: of a response that starts at s, its k lowest sum to
    # behind[s + k] - behind[s], and its k highest to behind[e] - behind[e - k] where it ends at e.
    behind, sizes_behind = (np.concatenate([[0.0], np.cumsum(values)]) for values in (ordered, np.abs(ordered)))
    starts, ends, lengths = rewards.offsets[:-1], rewards.offsets[1:], rewards.lengths
    found = np.zeros((3, len(PERCENTS)))
    for place, percent in enumerate(PERCENTS.tolist()):
        k = np.minimum(share_of(lengths, percent * 100), lengths)  # a response without tokens has none to keep
        low, high = (ends - k, ends) if highest else (starts, starts + k)
        sums = ((behind[high] - behind[low]).sum(), (sizes_behind[high] - sizes_behind[low]).sum())
        found[:, place] = (k.sum(), *sums)
    return found
