"""The losses, as pure functions of per-response log-probabilities; every argument and result is (pairs,)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.functional import logsigmoid

if TYPE_CHECKING:
    from torch import Tensor


def sepo_loss(chosen_mean_logps: Tensor, rejected_mean_logps: Tensor, *, gamma: float, target_margin: float) -> Tensor:
    """-log sigmoid(gamma * (chosen - rejected) - lambda): SePO's contrastive, reference-free loss.

    Equation 11 of arXiv 2408.13518, v1. With every token selected it is SimPO (arXiv 2405.14734, equation 6) with
    beta = gamma and its margin = lambda.

    Args:
        chosen_mean_logps: mean log-probability of the selected tokens of each chosen response, in nats.
        rejected_mean_logps: the same of the rejected response.
        gamma: scale of the implicit reward.
        target_margin: lambda, by how much chosen should lead.
    """
    return -logsigmoid(gamma * (chosen_mean_logps - rejected_mean_logps) - target_margin)


def dpo_loss(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
    *,
    beta: float,
) -> Tensor:
    """-log sigmoid(beta * (chosen log-ratio - rejected log-ratio)): DPO (arXiv 2305.18290, equation 7).

    Args:
        chosen_logps: summed log-probability of each chosen response under the policy, in nats.
        rejected_logps: the same of the rejected response.
        ref_chosen_logps: the same under the reference model.
        ref_rejected_logps: the same of the rejected response.
        beta: strength of the pull to the reference.
    """
    return -logsigmoid(beta * ((chosen_logps - ref_chosen_logps) - (rejected_logps - ref_rejected_logps)))
