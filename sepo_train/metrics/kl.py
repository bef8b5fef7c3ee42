"""The KL divergence of one model from another, estimated on answers that the first one sampled. Pure function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepo_train.metrics.mean_with_error import mean_with_error, ratio_with_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

ESTIMATOR = "k3 over tokens sampled from the model at temperature 1"


def k3(own: Tensor, other: Tensor) -> Tensor:
    """(tokens,) r - 1 - log r, r = p_other / p_own, of tokens with log-probabilities `own` and `other`.

    Where the tokens are sampled from `own` it estimates KL(own || other), without bias and never below 0 (k3 of
    http://joschu.net/blog/kl-approx.html).
    """
    log_ratio = other.double() - own.double()
    return log_ratio.expm1() - log_ratio


def sampled_kl(own: Sequence[Tensor], other: Sequence[Tensor]) -> dict[str, Any]:
    """KL(model || other) from log-probabilities of answers that `model` sampled from its whole distribution.

    With r = p_other / p_model of a sampled token, the expectation of k3 = r - 1 - log r given what stands before it is
    the KL divergence of the two next-token distributions there. So its sum over the tokens of an answer estimates the
    divergence of the two distributions over answers without bias, cut where the sampling was cut. k1 = -log r does so
    too; it varies more where the models are close, and is here so that the two can be compared.

    Args:
        own: (tokens,) log p_model of each answer, end-of-turn included.
        other: the same of the other model.

    Returns:
        `per_token` (all tokens of all answers alike) and `per_answer`, in nats, each with its standard error over
        answers; `k1_per_token` and `k1_per_answer`; `answers` and `tokens`, how many they are from.
    """
    both = list(zip(own, other, strict=True))
    k3s = [float(k3(ours, theirs).sum()) for ours, theirs in both]
    k1s = [float((ours.double() - theirs.double()).sum()) for ours, theirs in both]
    sizes = [len(ours) for ours in own]
    return {
        "estimator": ESTIMATOR,
        "per_token": ratio_with_error(k3s, sizes),
        "per_answer": mean_with_error(k3s),
        "k1_per_token": ratio_with_error(k1s, sizes),
        "k1_per_answer": mean_with_error(k1s),
        "answers": len(sizes),
        "tokens": sum(sizes),
    }
