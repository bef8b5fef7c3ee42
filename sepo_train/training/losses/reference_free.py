"""Losses of the policy alone: SePO's, SimPO, CPO, ORPO, RRHF. Pure functions; every tensor is (pairs,)."""

from __future__ import annotations

import math

from sepo_train.training.losses.registry import Tensor, log_sigmoid, loss, number, positive


@loss(
    reward=lambda means, gamma: gamma * means,
    gamma=positive("scale of the implicit reward"),
    target_margin=number("by how much chosen should lead"),
)
def sepo_loss(
    chosen_means: Tensor, rejected_means: Tensor, *, gamma: float = 2.0, target_margin: float = 0.0
) -> Tensor:
    """-log sigmoid(gamma * (c - r) - target_margin): SePO (arXiv 2408.13518, equation 11 of the ICLR version).

    Contrastive and reference-free; the paper calls the margin lambda. With every token selected it is SimPO (arXiv
    2405.14734, equation 6) with beta = gamma and its margin = lambda.
    """
    return -log_sigmoid(gamma * (chosen_means - rejected_means) - target_margin)


@loss(
    reward=lambda means, beta: beta * means,
    beta=positive("scale of the implicit reward"),
    target_margin=number("by how much chosen should lead"),
)
def simpo_loss(
    chosen_means: Tensor, rejected_means: Tensor, *, beta: float = 2.0, target_margin: float = 1.0
) -> Tensor:
    """-log sigmoid(beta * (c - r) - target_margin): SimPO (arXiv 2405.14734, equation 6; its gamma is the margin)."""
    return sepo_loss(chosen_means, rejected_means, gamma=beta, target_margin=target_margin)


@loss(
    reward=lambda sums, beta: beta * sums,
    beta=positive("strength"),
    alpha=number("weight of log p(chosen)"),
)
def cpo_loss(
    chosen_sums: Tensor, rejected_sums: Tensor, chosen_means: Tensor, *, beta: float = 0.1, alpha: float = 1.0
) -> Tensor:
    """-log sigmoid(beta * (C - R)) - alpha * c: CPO (arXiv 2401.08417, equation 5).

    The second term is a mean over the tokens of each chosen response, so that every pair counts alike; TRL takes it
    over the tokens of a batch.
    """
    return -log_sigmoid(beta * (chosen_sums - rejected_sums)) - alpha * chosen_means


@loss(reward=lambda means, beta: beta * means, beta=positive("strength"))
def orpo_loss(chosen_means: Tensor, rejected_means: Tensor, *, beta: float = 0.1) -> Tensor:
    """-c - beta * log sigmoid(log odds(c) - log odds(r)): ORPO (arXiv 2403.07691, equations 6 and 7; beta is lambda).

    odds(p) = p / (1 - p), of the geometric mean p of a response's token probabilities.
    """
    log_odds = (chosen_means - rejected_means) - (_log1mexp(chosen_means) - _log1mexp(rejected_means))
    return -chosen_means - beta * log_sigmoid(log_odds)


@loss(reward=lambda means: means, alpha=number("weight of log p(chosen)"))
def rrhf_loss(chosen_means: Tensor, rejected_means: Tensor, chosen_sums: Tensor, *, alpha: float = 1.0) -> Tensor:
    """max(0, r - c) - alpha * C: RRHF (arXiv 2304.05302, equations 3 and 4, alpha 1)."""
    return (rejected_means - chosen_means).relu() - alpha * chosen_sums


def _log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) of x < 0 without cancellation (Maechler, "Accurately Computing log(1 - exp(-|a|))", 2012)."""
    import torch

    # Where a branch is not taken its gradient would still be NaN: each sees only values that it is meant for.
    near = x > -math.log(2)
    x = x.clamp_max(-torch.finfo(x.dtype).tiny)
    return torch.where(
        near,
        torch.log(-torch.expm1(torch.where(near, x, -0.5))),
        torch.log1p(-torch.exp(torch.where(near, -1.0, x))),
    )
