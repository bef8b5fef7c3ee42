"""Pairs that are kept out of training, by their prompts: no prompt is on both sides, whatever order rows come in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sepo_data.shapes.pairs import Pair

SPLIT = "split"
"""The column that tells a pair's side."""

TRAIN: Literal["train"] = "train"
HOLDOUT: Literal["holdout"] = "holdout"


@dataclass(frozen=True, eq=False)
class Holdout:
    """The prompts whose 8-byte hash is below a threshold, and how many pairs they have."""

    below: int
    count: int

    def holds(self, prompt_id: str) -> bool:
        """Whether the pairs of this prompt are held out."""
        return int(prompt_id, 16) < self.below

    def side(self, pair: Pair) -> str:
        """Where `pair` belongs, by its prompt alone."""
        return HOLDOUT if self.holds(pair.prompt_id) else TRAIN


def find_holdout(prompts: NDArray[np.uint64], wanted: int) -> Holdout:
    """Hold out the prompts with the lowest hashes, as few as give `wanted` pairs.

    Those of a smaller number are among those of a larger one.

    Args:
        prompts: hash of each pair's prompt.
        wanted: how many pairs at least.

    Raises:
        SepoError: nothing would be left to train on.
    """
    hashes, counts = np.unique(prompts, return_counts=True)
    enough = int(np.searchsorted(np.cumsum(counts), wanted)) + 1
    if enough >= len(hashes):
        raise SepoError(
            f"--holdout {wanted} leaves nothing to train on of {len(prompts):,} pairs with {len(hashes):,} prompts",
            "choose a smaller number",
        )
    below = hashes[enough]
    return Holdout(int(below), int(counts[:enough].sum()))
