"""The rank of this process among those that were started together."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rank:
    """Process `index` of `count`. They share the shards and nothing else."""

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """True for the process that reports for all."""
        return self.index == 0

    def order(self, shards: int) -> list[int]:
        """The order in which this process tries to take shards: its own, then those of the others."""
        turns = ((self.index + turn) % self.count for turn in range(self.count))
        return [shard for turn in turns for shard in range(turn, shards, self.count)]


def current_rank() -> Rank:
    """The rank in the environment variables of `torchrun` and `accelerate launch`; without them, the only process."""
    return Rank(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
