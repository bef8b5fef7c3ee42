"""The losses, as pure functions of per-response log-probabilities; every tensor, the result among them, is (pairs,).

A sum or mean runs over the selected tokens of one response, in nats, weighted where the selection has soft weights.
With every token selected each is the loss that its paper describes. `ref_` marks values of the reference model.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import logsigmoid, sigmoid

if TYPE_CHECKING:
    from torch import Tensor


def sepo_loss(chosen_means: Tensor, rejected_means: Tensor, *, gamma: float, target_margin: float) -> Tensor:
    """-log sigmoid(gamma * (chosen - rejected) - lambda): SePO's contrastive, reference-free loss.

    Equation 11 of arXiv 2408.13518, v1. With every token selected it is SimPO (arXiv 2405.14734, equation 6) with
    beta = gamma and its margin = lambda.

    Args:
        chosen_means: mean log-probability of the selected tokens of each chosen response.
        rejected_means: the same of the rejected response.
        gamma: scale of the implicit reward.
        target_margin: lambda, by how much chosen should lead.
    """
    return -logsigmoid(gamma * (chosen_means - rejected_means) - target_margin)


def dpo_loss(
    chosen_sums: Tensor, rejected_sums: Tensor, ref_chosen_sums: Tensor, ref_rejected_sums: Tensor, *, beta: float
) -> Tensor:
    """-log sigmoid(beta * (chosen log-ratio - rejected log-ratio)): DPO (arXiv 2305.18290, equation 7).

    Args:
        chosen_sums: summed log-probability of each chosen response.
        rejected_sums: the same of the rejected response.
        ref_chosen_sums: the same under the reference model.
        ref_rejected_sums: the same of the rejected response.
        beta: strength of the pull to the reference.
    """
    return -logsigmoid(beta * ((chosen_sums - ref_chosen_sums) - (rejected_sums - ref_rejected_sums)))


def ipo_loss(
    chosen_means: Tensor, rejected_means: Tensor, ref_chosen_means: Tensor, ref_rejected_means: Tensor, *, beta: float
) -> Tensor:
    """(chosen log-ratio - rejected log-ratio - 1 / (2 beta))^2: IPO (arXiv 2310.12036, equation 17; tau is beta).

    Log-ratios are means over tokens, as in TRL, where the authors confirmed it.
    """
    return ((chosen_means - ref_chosen_means) - (rejected_means - ref_rejected_means) - 1 / (2 * beta)).square()


def simpo_loss(chosen_means: Tensor, rejected_means: Tensor, *, beta: float, target_margin: float) -> Tensor:
    """-log sigmoid(beta * (chosen - rejected) - margin): SimPO (arXiv 2405.14734, equation 6; gamma is the margin)."""
    return sepo_loss(chosen_means, rejected_means, gamma=beta, target_margin=target_margin)


def cpo_loss(chosen_sums: Tensor, rejected_sums: Tensor, chosen_means: Tensor, *, beta: float, alpha: float) -> Tensor:
    """-log sigmoid(beta * (chosen - rejected)) - alpha * log p(chosen): CPO (arXiv 2401.08417, equation 5).

    The second term is a mean over the tokens of each chosen response, so that every pair counts alike; TRL takes it
    over the tokens of a batch.
    """
    return -logsigmoid(beta * (chosen_sums - rejected_sums)) - alpha * chosen_means


def orpo_loss(chosen_means: Tensor, rejected_means: Tensor, *, beta: float) -> Tensor:
    """-log p(chosen) - beta * log sigmoid(log odds ratio): ORPO (arXiv 2403.07691, equations 6 and 7; beta is lambda).

    odds(p) = p / (1 - p), of the geometric mean p of a response's token probabilities.
    """
    log_odds = (chosen_means - rejected_means) - (_log1mexp(chosen_means) - _log1mexp(rejected_means))
    return -chosen_means - beta * logsigmoid(log_odds)


def kto_loss(
    chosen_sums: Tensor, rejected_sums: Tensor, ref_chosen_sums: Tensor, ref_rejected_sums: Tensor, *, beta: float
) -> Tensor:
    """sigmoid(-beta * chosen log-ratio) + sigmoid(beta * rejected log-ratio): KTO's value with the reference point 0.

    Equation 8 of arXiv 2402.01306 with both weights 1. Its reference point is a KL divergence estimated from other
    pairs of the batch, which would make a pair's loss depend on its batch; 0 in its place gives APO-zero (arXiv
    2408.06266, equation 7). Each response is pushed by itself: no pair is needed.
    """
    return sigmoid(-beta * (chosen_sums - ref_chosen_sums)) + sigmoid(beta * (rejected_sums - ref_rejected_sums))


def rrhf_loss(chosen_means: Tensor, rejected_means: Tensor, chosen_sums: Tensor, *, alpha: float) -> Tensor:
    """max(0, rejected - chosen) - alpha * log p(chosen): RRHF (arXiv 2304.05302, equations 3 and 4, alpha 1)."""
    return (rejected_means - chosen_means).relu() - alpha * chosen_sums


def _log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) of x < 0 without cancellation (Maechler, "Accurately Computing log(1 - exp(-|a|))", 2012)."""
    # Where a branch is not taken its gradient would still be NaN: each sees only values that it is meant for.
    near = x > -math.log(2)
    x = x.clamp_max(-torch.finfo(x.dtype).tiny)
    return torch.where(
        near,
        torch.log(-torch.expm1(torch.where(near, x, -0.5))),
        torch.log1p(-torch.exp(torch.where(near, -1.0, x))),
    )
