"""Win rates by hand, and the interval against a plain loop over prompts."""

import random

import pytest

from sepo_train.metrics import win_rate


def test_ties_count_half():
    found = win_rate([1.0, 2.0, 3.0, 0.0], [0.0, 2.0, 1.0, 5.0])
    assert (found["wins"], found["ties"], found["losses"]) == (2, 1, 1)
    assert found["win_rate"] == 0.625
    low, high = found["interval"]
    assert 0 <= low < 0.625 < high <= 1


@pytest.mark.parametrize(("ours", "rate"), [(1.0, 1.0), (-1.0, 0.0), (0.0, 0.5)])
def test_where_all_prompts_are_alike_there_is_no_doubt(ours, rate):
    found = win_rate([ours] * 9, [0.0] * 9)
    assert (found["win_rate"], found["interval"]) == (rate, [rate, rate])


def test_the_seed_decides():
    scores = [1.0] * 7 + [-1.0] * 6
    assert win_rate(scores, [0.0] * 13, seed=3) == win_rate(scores, [0.0] * 13, seed=3)


def plain_interval(differences, resamples=4000):
    """The percentile bootstrap as it is described: draw prompts, look at the 2.5% and the 97.5% of the rates."""
    rng = random.Random(0)  # noqa: S311 - nothing is to be kept secret
    points = [1.0 if value > 0 else 0.5 if value == 0 else 0.0 for value in differences]
    rates = sorted(sum(rng.choices(points, k=len(points))) / len(points) for _ in range(resamples))
    return rates[int(0.025 * resamples)], rates[int(0.975 * resamples)]


@pytest.mark.parametrize(("wins", "ties", "losses"), [(50, 10, 20), (3, 0, 5), (1, 90, 0)])
def test_the_interval_is_that_of_a_plain_loop(wins, ties, losses):
    differences = [2.0] * wins + [0.0] * ties + [-0.5] * losses
    found = win_rate(differences, [0.0] * len(differences))
    # Rates are multiples of half a prompt; the two may fall on neighbours.
    assert found["interval"] == pytest.approx(plain_interval(differences), abs=0.5 / len(differences) + 1e-9)
