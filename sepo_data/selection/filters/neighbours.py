"""Filter `--neighbours`: the tokens beside a selected one are selected, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.selection.arguments import whole_number
from sepo_data.selection.filter import NEIGHBOURS, Filter, filter_option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sepo_data.selection.ragged import Ragged


@filter_option(int, minimum=0, help="also select the tokens up to N places from a selected one")
def neighbours(distance: int = 0) -> Filter:
    """Every token at most `distance` tokens from a selected one of its response is selected, whatever it is."""
    distance = whole_number("neighbours", distance)
    return Filter("neighbours", distance, NEIGHBOURS, widened=lambda mask, _tokens: near_selected(mask, distance))


def near_selected(mask: Ragged[np.bool_], distance: int) -> NDArray[np.bool_]:
    """(tokens,) true within `distance` tokens of a true one of the same response."""
    import numpy as np

    selected = np.concatenate([[0], np.cumsum(mask.values)])
    place = np.arange(len(mask.values))
    first = np.maximum(place - distance, mask.per_token(mask.offsets[:-1]))
    last = np.minimum(place + distance + 1, mask.per_token(mask.offsets[1:]))
    near: NDArray[np.bool_] = selected[last] > selected[first]
    return near
