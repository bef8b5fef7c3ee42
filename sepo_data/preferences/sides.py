"""The one reader of a column `split`: the pairs that are trained on, and the pairs that no training may see."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from sepo_data.console.text import listed
from sepo_data.errors import SepoError
from sepo_data.preferences.holdout import HOLDOUT, TRAIN

if TYPE_CHECKING:
    from collections.abc import Iterable

SIDE_NAMES = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("holdout", "test", "testing", "validation", "valid", "val"), HOLDOUT),
    **dict.fromkeys(("dev", "eval", "evaluation"), HOLDOUT),
}
"""The first word of a value, in capitals or not, and its side; `held out` and `hold-out` are `holdout`."""

_HOLDOUT = re.compile(r"h[eo]ld[\W_]?out")
_WORD = re.compile(r"[^\W\d_]+")


def side_of(value: object) -> str | None:
    """`train` or `holdout`; None for a value that names neither, or both (`train_test`)."""
    if not isinstance(value, str):
        return None
    words = _WORD.findall(_HOLDOUT.sub("holdout", value.casefold()))
    sides = {SIDE_NAMES[word] for word in words if word in SIDE_NAMES}
    return SIDE_NAMES.get(words[0]) if len(sides) == 1 else None


def read_sides(values: Iterable[object], place: str) -> list[str] | None:
    """The side of each row, from the values of a column `split` that is found in `place`.

    Returns:
        None where the column holds nothing out: each row is of `train`, or no value of any row is the name of a side.

    Raises:
        SepoError: some rows name a side and others do not, so that their side is unknown.
    """
    keys = []
    sides: dict[str, str | None] = {}
    for value in values:
        keys.append(key := "null" if value is None else repr(value))
        if key not in sides:
            sides[key] = side_of(value)
    unknown = {key: count for key, count in Counter(keys).items() if sides[key] is None}
    if unknown and len(unknown) < len(sides):
        others = listed(f"{count:,} {key}" for key, count in unknown.items())
        known = listed(sorted(key for key, side in sides.items() if side))
        raise SepoError(
            f"the column split of {place} holds {others} beside {known}, so the pairs to train on are not known",
            "write train or holdout into every row of the input, or score without --keep-columns split",
        )
    found = [side for key in keys if (side := sides[key])]
    return found if HOLDOUT in found else None
