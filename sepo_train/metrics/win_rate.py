"""How often one model's answer beats the other's, and how sure that is. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.95


def win_rate(ours: Sequence[float], theirs: Sequence[float], *, seed: int = 0) -> dict[str, Any]:
    """Compare the scores of two answers to each of several prompts; a tie counts half.

    Args:
        ours: a score a prompt; higher is better.
        theirs: the scores of the other answers to the same prompts, on the same scale.
        seed: of the bootstrap.

    Returns:
        `win_rate`; `interval`, its 95% percentile bootstrap interval over prompts; `wins`, `ties` and `losses`.
    """
    difference = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    counts = np.array([(difference > 0).sum(), (difference == 0).sum(), (difference < 0).sum()])
    low, high = np.quantile(_resampled(counts, seed), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    wins, ties, losses = counts.tolist()
    return {
        "win_rate": round((wins + ties / 2) / len(difference), 6),
        "interval": [round(float(low), 6), round(float(high), 6)],
        "wins": wins,
        "ties": ties,
        "losses": losses,
    }


def _resampled(counts: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """The win rates of `RESAMPLES` samples of the prompts, each as large as they are, with replacement.

    A prompt is won, tied or lost, so that the counts of such a sample have a multinomial distribution: drawing them is
    the same as drawing prompts, and takes no longer for many.
    """
    prompts = int(counts.sum())
    draws = np.random.default_rng(seed).multinomial(prompts, counts / prompts, size=RESAMPLES)
    rates: NDArray[np.float64] = draws @ np.array([1.0, 0.5, 0.0]) / prompts
    return rates
