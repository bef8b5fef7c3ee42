"""Random numbers of tokens: a hash of (seed, pair, side, position), whatever the order of the rows or the sharding.

Of our own, because the hashes of Polars may change between its versions, and with them every published selection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sepo_data.schemas.stages import SIDES
from sepo_data.selection.ragged import Ragged

if TYPE_CHECKING:
    from numpy.typing import NDArray

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def token_hashes(pair_ids: pl.Series, offsets: NDArray[np.int64], *, side: str, seed: int) -> Ragged[np.uint64]:
    """64 random bits a token; rows with the same `pair_id` (16 hex digits) have the same."""
    pairs = pair_ids.str.to_integer(base=16, dtype=pl.UInt64).to_numpy()
    with np.errstate(over="ignore"):
        stream = _mix(np.array([seed * len(SIDES) + SIDES.index(side)], np.uint64) * GOLDEN_GAMMA)
        rows = Ragged(np.empty(int(offsets[-1]), np.bool_), offsets)
        states = rows.per_token(_mix(pairs ^ stream)) + rows.positions.astype(np.uint64) * GOLDEN_GAMMA
        return Ragged(_mix(states), offsets)


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The output function of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014)."""
    state = state + GOLDEN_GAMMA
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = state ^ (state >> np.uint64(31))
    return mixed
