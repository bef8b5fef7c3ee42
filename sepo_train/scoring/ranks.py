"""Which of the processes that were started together this one is."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rank:
    """Process `index` of `count`; they share shards and nothing else."""

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that answers for all."""
        return self.index == 0

    def order(self, shards: int) -> list[int]:
        """The shards in the order in which this process should try to take them: its own, then those of the others."""
        turns = ((self.index + turn) % self.count for turn in range(self.count))
        return [shard for turn in turns for shard in range(turn, shards, self.count)]


def current_rank() -> Rank:
    """What `torchrun` and `accelerate launch` say in the environment; where nobody says anything, the only process."""
    return Rank(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
