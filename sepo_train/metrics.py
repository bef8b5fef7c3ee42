"""Metrics of models: means with standard errors, win rate, KL divergence, preference of pairs. Pure functions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

Estimate: TypeAlias = "dict[str, float | None]"
"""`mean`, and `se`, its standard error: null where there is but one value. Every number of an evaluation is one."""

Margins = TypeVar("Margins", "Tensor", "NDArray[np.float64]")

PairLogps: TypeAlias = "Sequence[Tensor]"
"""(tokens,) log-probabilities of the chosen and of the rejected response of a pair, of all their tokens."""

KL_ESTIMATOR = "k3 over tokens sampled from the model at temperature 1"
BOOTSTRAP_SAMPLES = 10_000
CONFIDENCE_LEVEL = 0.95


def mean_with_error(values: Sequence[float]) -> Estimate:
    """The mean of independent `values`, and its standard error: s / sqrt(n)."""
    return ratio_with_error(values, [1] * len(values))


def ratio_with_error(totals: Sequence[float], sizes: Sequence[int]) -> Estimate:
    """The mean over all parts of independent items: sum(totals) / sum(sizes), such as nats a token over answers.

    Args:
        totals: sum over the parts of each item.
        sizes: number of parts of each item.

    Returns:
        The ratio R, and its standard error to first order: sqrt(sum((total - R * size)^2) * n / (n - 1)) / sum(sizes).
        Parts of one item are not assumed independent; where all items have one part, it is s / sqrt(n).
    """
    total, size = np.asarray(totals, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    ratio, items = float(total.sum() / size.sum()), len(total)
    if items == 1:
        return {"mean": round(ratio, 6), "se": None}
    spread = float(((total - ratio * size) ** 2).sum()) * items / (items - 1)
    return {"mean": round(ratio, 6), "se": round(math.sqrt(spread) / float(size.sum()), 6)}


def preferred(margins: Margins) -> Margins:
    """(pairs,) 1 where the chosen response leads, 0 where the rejected one does, 1/2 at a tie.

    Their mean is the accuracy: of a model that cannot tell the responses apart it is 50%, as of a coin.
    """
    both: Margins = ((margins > 0) * 1.0 + (margins >= 0) * 1.0) / 2
    return both


def win_rate(ours: Sequence[float], theirs: Sequence[float], *, seed: int = 0) -> dict[str, Any]:
    """Compare the scores of two answers to each of several prompts; a tie counts half.

    Args:
        ours: a score a prompt; higher is better.
        theirs: the scores of the other answers to the same prompts, on the same scale.
        seed: random seed of the bootstrap.

    Returns:
        `win_rate`; `interval`, its 95% percentile bootstrap interval over prompts; `wins`, `ties` and `losses`.
    """
    difference = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    counts = np.array([(difference > 0).sum(), (difference == 0).sum(), (difference < 0).sum()])
    tails = [(1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2]
    low, high = np.quantile(_bootstrap_rates(counts, seed), tails)
    wins, ties, losses = counts.tolist()
    return {
        "win_rate": round((wins + ties / 2) / len(difference), 6),
        "interval": [round(float(low), 6), round(float(high), 6)],
        "wins": wins,
        "ties": ties,
        "losses": losses,
    }


def _bootstrap_rates(counts: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """The win rates of `BOOTSTRAP_SAMPLES` samples of the prompts, each of their number, with replacement.

    A prompt is won, tied or lost, so the counts of such a sample have a multinomial distribution: drawing them is the
    same as drawing prompts, and takes no longer for many.
    """
    prompts = int(counts.sum())
    draws = np.random.default_rng(seed).multinomial(prompts, counts / prompts, size=BOOTSTRAP_SAMPLES)
    rates: NDArray[np.float64] = draws @ np.array([1.0, 0.5, 0.0]) / prompts
    return rates


def k3(own: Tensor, other: Tensor) -> Tensor:
    """(tokens,) r - 1 - log r, r = p_other / p_own, of tokens with log-probabilities `own` and `other`.

    Where the tokens are sampled from `own` it estimates KL(own || other), without bias and never below 0 (k3 of
    http://joschu.net/blog/kl-approx.html).
    """
    log_ratio = other.double() - own.double()
    return log_ratio.expm1() - log_ratio


def sampled_kl(own: Sequence[Tensor], other: Sequence[Tensor]) -> dict[str, Any]:
    """KL(model || other) from log-probabilities of answers sampled from the model's full distribution.

    With r = p_other / p_model of a sampled token, the expectation of k3 = r - 1 - log r given the tokens before it is
    the KL divergence of the two next-token distributions there. So its sum over the tokens of an answer estimates the
    divergence of the two distributions over answers without bias, cut where the sampling was cut. k1 = -log r does so
    too; it varies more where the models are close, and is reported for comparison.

    Args:
        own: (tokens,) log p_model of each answer, end-of-turn included.
        other: the same of the other model.

    Returns:
        `per_token` (all tokens of all answers alike) and `per_answer`, in nats, each with its standard error over
        answers; `k1_per_token` and `k1_per_answer`; `answers` and `tokens`, their numbers.
    """
    both = list(zip(own, other, strict=True))
    k3s = [float(k3(ours, theirs).sum()) for ours, theirs in both]
    k1s = [float((ours.double() - theirs.double()).sum()) for ours, theirs in both]
    sizes = [len(ours) for ours in own]
    return {
        "estimator": KL_ESTIMATOR,
        "per_token": ratio_with_error(k3s, sizes),
        "per_answer": mean_with_error(k3s),
        "k1_per_token": ratio_with_error(k1s, sizes),
        "k1_per_answer": mean_with_error(k1s),
        "answers": len(sizes),
        "tokens": sum(sizes),
    }


def preference(pairs: Sequence[PairLogps]) -> dict[str, Estimate]:
    """The preference of a model for chosen responses, by the mean log-probability per token of each, in nats.

    Returns:
        `accuracy`: share of pairs whose chosen response has the higher mean, ties as half; `margin`: the mean
        difference; `chosen_logps` and `rejected_logps`: the means themselves.
    """
    chosen = [float(pair[0].double().mean()) for pair in pairs]
    rejected = [float(pair[1].double().mean()) for pair in pairs]
    return {
        **_accuracy_and_margin([one - other for one, other in zip(chosen, rejected, strict=True)]),
        "chosen_logps": mean_with_error(chosen),
        "rejected_logps": mean_with_error(rejected),
    }


def implicit_reward(ours: Sequence[PairLogps], theirs: Sequence[PairLogps]) -> dict[str, dict[str, Estimate]]:
    """The implicit reward that DPO's loss defines by two models, with beta left out.

    The reward of a response is log p_ours - log p_theirs: `summed` over its tokens, as in the loss of DPO (equation 7
    of arXiv 2305.18290), or their mean, `per_token`, which does not grow with length.

    Returns:
        For each of the two, `accuracy`: share of pairs whose chosen response has the higher reward, ties as half;
        `margin`: the mean difference, in nats.
    """
    summed, per_token = [], []
    for our, their in zip(ours, theirs, strict=True):
        chosen, rejected = (one.double() - other.double() for one, other in zip(our, their, strict=True))
        summed.append(float(chosen.sum() - rejected.sum()))
        per_token.append(float(chosen.mean() - rejected.mean()))
    return {"summed": _accuracy_and_margin(summed), "per_token": _accuracy_and_margin(per_token)}


def _accuracy_and_margin(margins: Sequence[float]) -> dict[str, Estimate]:
    return {
        "accuracy": mean_with_error(preferred(np.asarray(margins, np.float64)).tolist()),
        "margin": mean_with_error(margins),
    }
