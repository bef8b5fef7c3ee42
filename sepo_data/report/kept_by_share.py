"""The tokens and rewards that the rule `top` keeps at every share from 1% to 100%."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from sepo_data.report.first_shares import SHARES, first_shares
from sepo_data.schemas.stage_names import SIDES
from sepo_data.selection.ragged import ragged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sepo_data.report.source import Source
    from sepo_data.selection.ragged import Ragged


def kept_by_share(source: Source) -> pl.DataFrame:
    """Tokens and rewards that `sepo select` keeps with the rule `top` at every share. Streams: one shard at a time.

    Returns:
        200 rows, those of chosen first: `side`; `share_percent` (Int32) from 1 to 100; `tokens` (Int64), the sum over
        the responses of k = max(1, floor(share x n)); `reward` and `absolute_reward` (Float64), the sums of the rewards
        of these tokens and of their sizes |reward|.
    """
    totals = {side: np.zeros((3, len(SHARES))) for side in SIDES}
    for frame in source.frames([f"{side}_rewards" for side in SIDES]):
        for side in SIDES:
            totals[side] += _kept(ragged(frame[f"{side}_rewards"]), highest=side == "chosen")
    return pl.concat(_side_table(side, *totals[side]) for side in SIDES)


def _side_table(
    side: str, tokens: NDArray[np.float64], reward: NDArray[np.float64], absolute: NDArray[np.float64]
) -> pl.DataFrame:
    columns = {
        "side": [side] * len(SHARES),
        "share_percent": SHARES.astype(np.int32),
        "tokens": tokens.astype(np.int64),  # exact: below 2 ** 53
        "reward": reward,
        "absolute_reward": absolute,
    }
    return pl.DataFrame(columns)


def _kept(rewards: Ragged[Any], *, highest: bool) -> NDArray[np.float64]:
    """(3, shares) tokens, rewards and sizes of rewards that are kept of these responses."""
    first, values = first_shares(rewards, highest=highest), rewards.values.astype(np.float64)
    found = [np.bincount(first, weights, len(SHARES) + 1)[1:] for weights in (None, values, np.abs(values))]
    return np.stack(found).cumsum(axis=1, dtype=np.float64)
