"""Holdout pairs, kept out of training by prompt: no prompt is on both sides, in any order of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from sepo_data.console.text import shortened
from sepo_data.errors import SepoError
from sepo_data.share import BASIS_POINTS, MOST_DIGITS, format_share, share_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sepo_data.shapes.pairs import Pair

SPLIT = "split"
"""The column with the side of each pair."""

TRAIN: Literal["train"] = "train"
HOLDOUT: Literal["holdout"] = "holdout"


@dataclass(frozen=True, slots=True)
class HoldoutSize:
    """Number of pairs to hold out, at least: given itself, or as a share of all pairs. False if none.

    Attributes:
        pairs: the number.
        share: in basis points; 0 where a number was given.
    """

    pairs: int = 0
    share: int = 0

    def __bool__(self) -> bool:
        return bool(self.pairs or self.share)

    def __str__(self) -> str:
        """The one spelling of this size: `2000`, `5%`."""
        return format_share(self.share) if self.share else str(self.pairs)

    @property
    def option(self) -> int | str:
        """The value in a manifest's options: a number, or a share as `5%`."""
        return str(self) if self.share else self.pairs

    def count_of(self, pairs: int) -> int:
        """The number of holdout pairs among `pairs` pairs: max(1, floor(share x pairs)) of a share, in integers."""
        return share_of(pairs, self.share) if self.share else self.pairs


def parse_holdout(value: str | float | HoldoutSize) -> HoldoutSize:
    """Read a number of pairs (`2000`) or a share of them (`5%`, `0.05`); 0 holds nothing out.

    Raises:
        ValueError: neither of the two; the message says what to write.
    """
    text = str(value).strip()
    try:
        number = Decimal(text.removesuffix("%"))
    except ArithmeticError:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0 or abs(number.adjusted()) > MOST_DIGITS:
        raise ValueError(f"{shortened(text, 40)!r} is no number of pairs and no share of them: write 2000, 5% or 0.05")
    if number == 0:
        return HoldoutSize()
    if not text.endswith("%") and "." not in text and number == int(number):
        return HoldoutSize(pairs=int(number))
    share = number * (100 if text.endswith("%") else BASIS_POINTS)
    if share >= BASIS_POINTS:
        raise ValueError(f"{text!r} leaves nothing to train on: write a share below 100%, or a number such as 2000")
    if share != int(share):
        raise ValueError(f"{text!r} is finer than a hundredth of a percent")
    return HoldoutSize(share=int(share))


@dataclass(frozen=True, eq=False)
class Holdout:
    """The prompts whose 8-byte hash is below a threshold, and the number of their pairs."""

    below: int
    count: int

    def holds(self, prompt_id: str) -> bool:
        """True if the pairs of this prompt are held out."""
        return int(prompt_id, 16) < self.below

    def side(self, pair: Pair) -> str:
        """The side of `pair`, decided by its prompt alone."""
        return HOLDOUT if self.holds(pair.prompt_id) else TRAIN


def find_holdout(prompts: NDArray[np.uint64], size: HoldoutSize) -> Holdout:
    """Hold out the prompts with the lowest hashes, as few as give `size` pairs.

    The holdout pairs of a smaller size are among those of a larger one.

    Args:
        prompts: hash of each pair's prompt, shape (pairs,).
        size: the number of pairs, at least.

    Raises:
        SepoError: nothing would be left to train on.
    """
    import numpy as np

    hashes, counts = np.unique(prompts, return_counts=True)
    wanted = size.count_of(len(prompts))
    enough = int(np.searchsorted(np.cumsum(counts), wanted)) + 1
    if enough >= len(hashes):
        raise SepoError(
            f"--holdout {size} leaves nothing to train on of {len(prompts):,} pairs with {len(hashes):,} prompts",
            "choose a smaller number or share",
        )
    below = hashes[enough]
    return Holdout(int(below), int(counts[:enough].sum()))
