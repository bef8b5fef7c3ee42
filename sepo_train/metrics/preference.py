"""How far a model prefers the chosen responses of pairs, by itself and against another model. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from sepo_train.metrics.mean_with_error import Estimate, mean_with_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

PairLogps: TypeAlias = "Sequence[Tensor]"
"""(tokens,) log-probabilities of the chosen and of the rejected response of a pair, of all their tokens."""


def preference(pairs: Sequence[PairLogps]) -> dict[str, Estimate]:
    """Of a model by itself, over the mean log-probability per token of each response, in nats.

    Returns:
        `accuracy`: share of pairs whose chosen response has the higher mean; `margin`: how much higher, on average;
        `chosen_logps` and `rejected_logps`: the means themselves.
    """
    chosen = [float(pair[0].double().mean()) for pair in pairs]
    rejected = [float(pair[1].double().mean()) for pair in pairs]
    return {
        **_lead([one - other for one, other in zip(chosen, rejected, strict=True)]),
        "chosen_logps": mean_with_error(chosen),
        "rejected_logps": mean_with_error(rejected),
    }


def implicit_reward(ours: Sequence[PairLogps], theirs: Sequence[PairLogps]) -> dict[str, dict[str, Estimate]]:
    """Of a model against another: the reward that DPO's loss reads out of two models, with beta left out.

    The reward of a response is log p_ours - log p_theirs: `summed` over its tokens, as in the loss of DPO (equation 7
    of arXiv 2305.18290), or their mean, `per_token`, which does not grow with length.

    Returns:
        For each of the two, `accuracy`: share of pairs whose chosen response has the higher reward; `margin`: how much
        higher, in nats.
    """
    summed, per_token = [], []
    for our, their in zip(ours, theirs, strict=True):
        chosen, rejected = (one.double() - other.double() for one, other in zip(our, their, strict=True))
        summed.append(float(chosen.sum() - rejected.sum()))
        per_token.append(float(chosen.mean() - rejected.mean()))
    return {"summed": _lead(summed), "per_token": _lead(per_token)}


def _lead(margins: Sequence[float]) -> dict[str, Estimate]:
    return {
        "accuracy": mean_with_error([float(margin > 0) for margin in margins]),
        "margin": mean_with_error(margins),
    }
