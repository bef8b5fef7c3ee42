"""Micro-batches: the pairs of each forward pass of a process, every pair exactly once an epoch, on any machine."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from sepo_train.engine.layout import batches_by_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sepo_train.engine.layout_policy import LayoutPolicy
    from sepo_train.training.selected_pairs import TrainingPair


@dataclass(frozen=True)
class MicroBatches(Sampler[list[list[int]]]):
    """For each step of an epoch the micro-batches of one process, as lists of pair numbers.

    The order of an epoch depends on the seed and the epoch alone. A step takes the next `batch_size` pairs of it; those
    of like lengths share a micro-batch, to save padding.

    Attributes:
        lengths: tokens of each pair's row.
        batch_size: pairs of one step, over all processes.
        micro_batch_size: most pairs of one micro-batch.
        tokens: most tokens of one micro-batch, padding among them; a longer pair has one of its own.
        seed: of the order.
        epoch: the current epoch, called when an iteration begins.
        rank: number of this process.
        processes: their number.
        steps: those of the full run, which may end within an epoch; called when an iteration begins.
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

    Where their number is no multiple of the processes, the largest are split; where pairs are too few for all
    processes, some get the first pair again as `~0`, which must not count.
    """
    parts = batches_by_tokens(lengths, tokens, max_items=most)
    count = -(-len(parts) // processes) * processes
    while len(parts) < min(count, len(lengths)):
        at = max(range(len(parts)), key=lambda part: len(parts[part]))
        half = -(-len(parts[at]) // 2)
        parts[at : at + 1] = [parts[at][:half], parts[at][half:]]
    return parts + [[~0]] * (count - len(parts))


class PairRows(Dataset["list[TrainingPair]"]):
    """Pairs by lists of numbers; `~number` is the same pair with weight 0."""

    def __init__(self, pairs: Sequence[TrainingPair]) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, numbers: list[int]) -> list[TrainingPair]:
        return [self._pairs[number] if number >= 0 else replace(self._pairs[~number], weight=0.0) for number in numbers]


def collate(layout_policy: LayoutPolicy) -> Callable[[list[list[TrainingPair]]], list[dict[str, Any]]]:
    """A function that lays out the micro-batches of a step as the inputs of `PairTrainer.compute_loss`."""

    def micro_batch(pairs: list[TrainingPair]) -> dict[str, Any]:
        return {
            "layout": layout_policy.layout([pair.tree for pair in pairs]),
            "ref_logps": torch.tensor([pair.ref_logps for pair in pairs]),
            "weights": torch.tensor([pair.weight for pair in pairs]),
            "selected_fraction": torch.tensor([pair.selected_fraction for pair in pairs]),
            "pair_ids": [pair.pair_id for pair in pairs],
        }

    return lambda step: [micro_batch(pairs) for pairs in step]
