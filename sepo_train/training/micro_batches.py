"""Which pairs go through a process in one forward pass: every pair exactly once an epoch, whatever the machine."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch.utils.data import Sampler

from sepo_train.engine.layout import batches_by_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@dataclass(frozen=True)
class MicroBatches(Sampler[list[list[int]]]):
    """For each step of an epoch the micro-batches of one process, as lists of pair numbers.

    The order of an epoch depends on the seed and the epoch alone. A step takes the next `batch_size` pairs of it; those
    of like lengths share a micro-batch, so that little is padded.

    Attributes:
        lengths: tokens of each pair's row.
        batch_size: pairs of one step, over all processes.
        micro_batch_size: most pairs of one micro-batch.
        tokens: most tokens of one micro-batch, padding among them; a longer pair has one of its own.
        seed: of the order.
        epoch: the current epoch, asked when an iteration begins.
        rank: number of this process.
        processes: how many there are.
        steps: those of the whole run, which may end within an epoch; asked when an iteration begins.
    """

    lengths: Sequence[int]
    batch_size: int
    micro_batch_size: int
    tokens: int
    seed: int
    epoch: Callable[[], int]
    rank: int = 0
    processes: int = 1
    steps: Callable[[], int] = lambda: sys.maxsize

    def __len__(self) -> int:
        return math.ceil(len(self.lengths) / self.batch_size)

    def __iter__(self) -> Iterator[list[list[int]]]:
        epoch = self.epoch()
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.lengths)).tolist()
        steps = min(len(self), self.steps() - epoch * len(self))
        for start in range(0, steps * self.batch_size, self.batch_size):
            step = order[start : start + self.batch_size]
            lengths = [self.lengths[number] for number in step]
            dealt = deal(lengths, self.micro_batch_size, self.tokens, self.processes)
            own = dealt[self.rank :: self.processes]
            yield [[step[place] if place >= 0 else ~step[~place] for place in part] for part in own]


def deal(lengths: Sequence[int], most: int, tokens: int, processes: int) -> list[list[int]]:
    """Micro-batches of the pairs of a step, longest first, as many for each process.

    Where the number does not come out even, the largest are split; where there are too few pairs for all processes,
    some get the first pair again as `~0`, which must not count.
    """
    parts = batches_by_tokens(lengths, tokens, most=most)
    wanted = -(-len(parts) // processes) * processes
    while len(parts) < min(wanted, len(lengths)):
        at = max(range(len(parts)), key=lambda part: len(parts[part]))
        half = -(-len(parts[at]) // 2)
        parts[at : at + 1] = [parts[at][:half], parts[at][half:]]
    return parts + [[~0]] * (wanted - len(parts))
