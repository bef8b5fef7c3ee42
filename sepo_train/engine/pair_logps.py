"""Sums and means of the log-probabilities of selected tokens, one of each response: the tensors that losses are of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sepo_train.engine.logps import token_logps

if TYPE_CHECKING:
    from torch import Tensor

    from sepo_train.engine.layout import Layout


@dataclass(frozen=True, slots=True)
class SideLogps:
    """Log-probabilities of one response of every pair over its selected tokens; every tensor is (pairs,), in nats.

    Attributes:
        sums: summed, weighted where the selection has soft weights.
        means: their weighted mean.
        ref_sums: `sums` of the reference model, 0 where the loss has none.
        ref_means: `means` of the reference model.
    """

    sums: Tensor
    means: Tensor
    ref_sums: Tensor
    ref_means: Tensor


def side_logps(logps: Tensor, response: Tensor, weights: Tensor, ref_logps: Tensor) -> tuple[SideLogps, SideLogps]:
    """Sums and means over the selected tokens of each response, chosen and rejected.

    Means are weighted where the selection has soft weights; a response whose weights are all 0 has the mean 0 and no
    gradient.

    Args:
        logps: (n,) log-probabilities of the selected tokens of all responses, chosen and rejected in turn.
        response: (n,) number of the response that each belongs to.
        weights: (n,) weight of each.
        ref_logps: (pairs, 2) weighted sums of the reference model.
    """
    none = torch.zeros(2 * len(ref_logps), device=logps.device)
    sums = none.index_add(0, response, logps * weights)
    totals = none.index_add(0, response, weights).clamp_min(torch.finfo(torch.float32).tiny)
    ref_sums = ref_logps.flatten()
    every = (sums, sums / totals, ref_sums, ref_sums / totals)
    return SideLogps(*(values[0::2] for values in every)), SideLogps(*(values[1::2] for values in every))


def response_logps(model: torch.nn.Module, layout: Layout, ref_logps: Tensor) -> tuple[SideLogps, SideLogps]:
    """`side_logps` of `layout` under `model`, with gradients."""
    logps = token_logps(model, layout)
    return side_logps(logps, *(tensor.to(logps.device) for tensor in (layout.response, layout.weights, ref_logps)))
