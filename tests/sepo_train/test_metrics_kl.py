"""The estimator by hand, and against the exact divergence that it estimates."""

import math

import pytest
import torch
from torch import tensor

from sepo_train.metrics import sampled_kl


def test_two_answers_by_hand():
    own = [tensor([0.5]).log(), tensor([0.5, 0.5, 1.0]).log()]
    other = [tensor([0.25]).log(), tensor([0.5, 0.25, 1.0]).log()]
    # One token in each answer has r = 0.5: k3 = 0.5 - 1 + log 2, k1 = log 2. All others are alike.
    found = sampled_kl(own, other)
    k3, k1 = math.log(2) - 0.5, math.log(2)
    assert found["per_answer"] == {"mean": pytest.approx(k3, abs=1e-6), "se": pytest.approx(0.0, abs=1e-6)}
    assert found["per_token"]["mean"] == pytest.approx(2 * k3 / 4, abs=1e-6)
    # R = k3 / 2; residuals k3 - R and k3 - 3 R; sqrt((k3 / 2)^2 * 2 * 2) / 4
    assert found["per_token"]["se"] == pytest.approx(k3 / 4, abs=1e-6)
    assert found["k1_per_answer"]["mean"] == pytest.approx(k1, abs=1e-6)
    assert found["k1_per_token"]["mean"] == pytest.approx(k1 / 2, abs=1e-6)
    assert (found["answers"], found["tokens"]) == (2, 4)


def test_the_same_model_has_no_divergence():
    own = [tensor([-1.0, -2.0]), tensor([-0.5])]
    found = sampled_kl(own, own)
    assert all(found[kind] == {"mean": 0.0, "se": 0.0} for kind in ("per_token", "per_answer", "k1_per_token"))


def test_every_token_weighted_by_its_probability_is_the_exact_divergence():
    torch.manual_seed(0)
    own, other = (torch.randn(50, dtype=torch.float64).log_softmax(0) for _ in range(2))
    exact = float((own.exp() * (own - other)).sum())
    for kind in ("per_answer", "k1_per_answer"):
        values = [sampled_kl([own[[token]]], [other[[token]]])[kind]["mean"] for token in range(50)]
        assert float(own.exp() @ tensor(values, dtype=torch.float64)) == pytest.approx(exact, abs=1e-5)


def test_samples_come_close_to_the_exact_divergence():
    torch.manual_seed(0)
    own, other = (torch.randn(50, dtype=torch.float64).log_softmax(0) for _ in range(2))
    exact = float((own.exp() * (own - other)).sum())
    tokens = torch.multinomial(own.exp(), 4000, replacement=True)
    found = sampled_kl(list(own[tokens].split(1)), list(other[tokens].split(1)))
    for kind in ("per_token", "per_answer", "k1_per_token", "k1_per_answer"):
        assert abs(found[kind]["mean"] - exact) < 4 * found[kind]["se"]
