"""Sums and means of each response over its selected tokens, worked out by hand."""

import pytest
import torch

from sepo_train.engine.layout import Tree, shared_layout
from sepo_train.engine.pair_logps import response_logps


def test_sums_and_means_by_hand(monkeypatch):
    # Two pairs; kept log-probabilities -1 -2 | -6 and -3 | -1 -2 -3.
    trees = [
        Tree([1], ([5, 6], [7]), [[True, True], [True]]),
        Tree([1], ([5, 6], [7, 8, 9]), [[False, True], [True, True, True]]),
    ]
    values = torch.tensor([-1.0, -2.0, -6.0, -3.0, -1.0, -2.0, -3.0])
    monkeypatch.setattr("sepo_train.engine.pair_logps.token_logps", lambda _model, _layout: values)
    layout = shared_layout(trees)
    chosen, rejected = response_logps(torch.nn.Identity(), layout, torch.tensor([[0.5, 0.25], [1.0, 2.0]]))
    assert chosen.sums.tolist() == [-3.0, -3.0]
    assert rejected.sums.tolist() == [-6.0, -6.0]
    assert chosen.means.tolist() == [-1.5, -3.0]
    assert rejected.means.tolist() == [-6.0, -2.0]
    assert chosen.ref_sums.tolist() == [0.5, 1.0]
    assert rejected.ref_sums.tolist() == [0.25, 2.0]
    assert chosen.ref_means.tolist() == [0.25, 1.0]
    assert rejected.ref_means.tolist() == pytest.approx([0.25, 2 / 3])


def test_soft_weights_weigh_the_means(monkeypatch):
    """Weights 3 and 1 on -2 and -4: (3 * -2 + 1 * -4) / 4 = -2.5; weights of 0 alone: 0."""
    tree = Tree([1], ([5, 6], [7, 8]), ([True, True], [True, False]), ([3.0, 1.0], [0.0, 9.0]))
    logps = torch.tensor([-2.0, -4.0, -7.0])
    monkeypatch.setattr("sepo_train.engine.pair_logps.token_logps", lambda _model, _layout: logps)
    chosen, rejected = response_logps(None, shared_layout([tree]), torch.zeros(1, 2))
    assert (chosen.means.item(), rejected.means.item()) == (-2.5, 0.0)
    assert (chosen.sums.item(), rejected.sums.item()) == (-10.0, 0.0)
