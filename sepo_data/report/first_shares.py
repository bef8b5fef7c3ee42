"""The lowest share at which the rule `top` takes each token: one sort answers for every share from 1% to 100%."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from sepo_data.selection.kth_highest import ordered_keys
from sepo_data.share import share_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sepo_data.selection.ragged import Ragged

SHARES = np.arange(1, 101)
"""In percent."""


def first_shares(rewards: Ragged[Any], *, highest: bool) -> NDArray[np.uint8]:
    """The lowest share at which `top_k_mask` takes each token: it takes a token at this share and at every higher one.

    A token at place r of its response of n, from 0, in the order of the rewards, the earliest first among equals, is
    taken where max(1, floor(p/100 n)) > r; so from p = ceil(100 (r + 1) / n) on, and the first one at every share.

    Args:
        rewards: float32, of the responses of one side, fewer than 2 ** 32.
        highest: the highest rewards come first, as on chosen; else the lowest.

    Returns:
        (tokens,) percent, from 1 to 100.
    """
    # One number a token, its score in order above its place among all: sorted, equal scores have the earliest first.
    keys = ordered_keys(-rewards.values if highest else rewards.values).astype(np.uint64)
    keys = (keys << np.uint64(32)) | np.arange(len(keys), dtype=np.uint64)
    for start, end in pairwise(rewards.offsets.tolist()):
        keys[start:end].sort()
    places, lengths = rewards.positions.astype(np.int32), rewards.per_token(rewards.lengths.astype(np.int32))
    by_place = np.where(places == 0, 1, -(-100 * (places + 1) // lengths)).astype(np.uint8)
    first = np.empty_like(by_place)
    first[keys.astype(np.uint32)] = by_place
    return first


def selected_by_chance(lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """(shares,) the tokens that two random selections of `SHARES` have in common, as expected: sum of k^2 / n.

    Args:
        lengths: (responses,) tokens of each.
    """
    sizes, counts = np.unique(lengths[lengths > 0], return_counts=True)
    k = np.stack([share_of(sizes, int(share) * 100) for share in SHARES])
    expected: NDArray[np.float64] = (k**2 / sizes * counts).sum(axis=1)
    return expected
