"""Losses that compare with a reference model: DPO, IPO, KTO. Pure functions; every tensor is (pairs,)."""

from __future__ import annotations

from sepo_train.training.losses.registry import Tensor, log_sigmoid, loss, positive


@loss(
    reward=lambda sums, ref_sums, beta: beta * (sums - ref_sums),
    beta=positive("strength of the penalty on the divergence from the reference"),
)
def dpo_loss(
    chosen_sums: Tensor, rejected_sums: Tensor, ref_chosen_sums: Tensor, ref_rejected_sums: Tensor, *, beta: float = 0.1
) -> Tensor:
    """-log sigmoid(beta * ((C - C_ref) - (R - R_ref))): DPO (arXiv 2305.18290, equation 7)."""
    return -log_sigmoid(beta * ((chosen_sums - ref_chosen_sums) - (rejected_sums - ref_rejected_sums)))


@loss(
    reward=lambda means, ref_means, beta: beta * (means - ref_means),
    beta=positive("strength of the penalty on the divergence from the reference"),
)
def ipo_loss(
    chosen_means: Tensor,
    rejected_means: Tensor,
    ref_chosen_means: Tensor,
    ref_rejected_means: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """((c - c_ref) - (r - r_ref) - 1 / (2 beta))^2: IPO (arXiv 2310.12036, equation 17; tau is beta).

    Log-ratios are means over tokens, as in TRL, where the authors confirmed it.
    """
    return ((chosen_means - ref_chosen_means) - (rejected_means - ref_rejected_means) - 1 / (2 * beta)).square()


@loss(
    reward=lambda sums, ref_sums, beta: beta * (sums - ref_sums),
    beta=positive("strength of the penalty on the divergence from the reference"),
)
def kto_loss(
    chosen_sums: Tensor, rejected_sums: Tensor, ref_chosen_sums: Tensor, ref_rejected_sums: Tensor, *, beta: float = 0.1
) -> Tensor:
    """sigmoid(-beta * (C - C_ref)) + sigmoid(beta * (R - R_ref)): KTO (arXiv 2402.01306, equation 8).

    With both weights 1 and the reference point 0. KTO's reference point is a KL divergence estimated from other pairs
    of the batch, which would make a pair's loss depend on its batch; 0 in its place gives APO-zero (arXiv 2408.06266,
    equation 7). Each response is pushed by itself: no pair is needed.
    """
    return (-beta * (chosen_sums - ref_chosen_sums)).sigmoid() + (beta * (rejected_sums - ref_rejected_sums)).sigmoid()
