"""A comparison of the oracle with the reference on a few pairs, before scoring: is there a reward at all?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from sepo_train.engine.layout_check import is_16_bit
from sepo_train.engine.layout_policy import PLAIN
from sepo_train.engine.logps import score_trees

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

    from sepo_train.engine.layout import Tree

COMPARED_TREES = 4
"""Trees on which the two models are compared."""

ROUNDING = 5e-5
"""Nats by which copies of a model differ in fp32, such as an adapter and the same merged (measured: 2.4e-5)."""


@dataclass
class ModelComparison:
    """The log-probabilities of a few responses under each model that passes by.

    Attributes:
        trees: of the run, of which the first few are used.
    """

    trees: Sequence[Tree]
    _found: list[Tensor] = field(default_factory=list)
    _rounding: float = ROUNDING

    def passed(self, model: PreTrainedModel) -> PreTrainedModel:
        """`model` itself, whose log-probabilities are kept; it is not."""
        self._found.append(plain_logps(model, self.trees[:COMPARED_TREES]))
        if is_16_bit(model):
            self._rounding = 0.0  # each sum is rounded so coarsely that equal models alone give equal numbers
        return model

    @property
    def equal(self) -> bool:
        """True if the two models that passed gave the same numbers, up to rounding; NaN is no number."""
        first, second = self._found
        return bool(((first - second).abs() <= self._rounding).all())


def plain_logps(model: PreTrainedModel, trees: Sequence[Tree]) -> Tensor:
    """Log-probabilities of all response tokens, one sequence at a time and one after the other, (tokens,)."""
    scores = score_trees(model, trees, PLAIN, batch_tokens=1)
    return torch.cat([logps for responses in scores for logps in responses])
