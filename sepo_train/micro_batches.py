"""Which pairs go through a process in one forward pass: every pair exactly once an epoch, whatever the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch.utils.data import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class MicroBatches(Sampler[list[int]]):
    """The micro-batches of one process, as lists of pair numbers.

    The order of an epoch depends on the seed and the epoch alone. A step takes the next `batch_size` pairs of it and
    deals them out evenly over as few micro-batches as the processes can share. Where a step has too few pairs for all
    processes, some get one of its pairs again as `~number`, which must not count.

    Attributes:
        pairs: number of pairs.
        batch_size: pairs of one step, over all processes.
        micro_batch_size: most pairs of one micro-batch.
        seed: of the order.
        epoch: the current epoch, asked when an iteration begins.
        rank: number of this process.
        processes: how many there are.
    """

    pairs: int
    batch_size: int
    micro_batch_size: int
    seed: int
    epoch: Callable[[], int]
    rank: int = 0
    processes: int = 1

    def passes(self, pairs: int) -> int:
        """Micro-batches that each process needs for a step of so many pairs."""
        return -(-pairs // (self.micro_batch_size * self.processes))

    def __len__(self) -> int:
        whole, rest = divmod(self.pairs, self.batch_size)
        return whole * self.passes(self.batch_size) + self.passes(rest)

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng([self.seed, self.epoch()]).permutation(self.pairs).tolist()
        for start in range(0, self.pairs, self.batch_size):
            step = order[start : start + self.batch_size]
            parts = self.passes(len(step)) * self.processes
            for part in range(self.rank, parts, self.processes):
                yield step[part::parts] or [~step[0]]
