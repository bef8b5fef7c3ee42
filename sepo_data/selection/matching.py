"""Matching: a control takes exactly as many tokens as the rule that it is a control of, whatever filters add to both.

Filters that widen add more to tokens that stand apart than to those side by side. So a control does not draw as many
tokens as the rule took, but in its own order until, widened alike, it has as many as the rule with what was added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sepo_data.selection.top_k import top_k_mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sepo_data.selection.ragged import Ragged

    Mask = NDArray[np.bool_]
    Widen = Callable[[Ragged[np.bool_]], Mask]


def matched_mask(scores: Ragged[Any], ranked: Mask, wanted: NDArray[np.int64], widen: Widen) -> Mask:
    """Draw tokens in the order of `scores` until, widened, there are `wanted` of each response, and exactly so many.

    Of what the last draw adds, the highest scores are taken up to the number.

    Args:
        scores: the control's own order, by response or by a part of one; high ones first.
        ranked: (tokens,) those that are drawn; the others come after them, where these are not enough.
        wanted: (responses or parts,) the tokens to take, no fewer than filters add to an empty mask.
        widen: from a mask to (tokens,) booleans: the mask with what filters add; more where the mask has more.

    Returns:
        (tokens,) booleans.
    """
    places = _places(scores, ranked)

    def drawn(draws: NDArray[np.int64]) -> Mask:
        return widen(places.with_values(places.values < places.per_token(draws)))

    draws = np.zeros_like(wanted)  # the most after which there are not too many
    step = 1 << int(places.lengths.max(initial=0)).bit_length()
    while step := step >> 1:
        fits = (draws + step <= places.lengths) & (
            scores.sums(drawn(np.minimum(draws + step, places.lengths))) <= wanted
        )
        draws += step * fits
    level = drawn(draws).astype(np.int64) + drawn(draws + 1)
    [mask] = top_k_mask(places.with_values(level * (places.values.max(initial=0) + 1) - places.values), [wanted])
    return mask


def _places(scores: Ragged[Any], ranked: Mask) -> Ragged[np.int64]:
    """Each token's place in the order of its list, from 0: ranked ones first, high scores first, the earliest first."""
    _, ascending = np.unique(scores.values, return_inverse=True)
    lists = scores.per_token(np.arange(len(scores.lengths)))
    order = np.lexsort((-ascending, ~ranked, lists))
    places = np.empty(len(order), np.int64)
    places[order] = scores.positions
    return scores.with_values(places)
