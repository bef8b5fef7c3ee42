"""Metrics of held-out pairs, worked out by hand."""

import pytest
import torch

from sepo_train.engine.layout import Tree
from sepo_train.engine.layout_policy import PLAIN
from sepo_train.training.eval_metrics import evaluate_pairs
from sepo_train.training.objectives import objective
from sepo_train.training.selected_pairs import TrainingPair


def test_by_hand(monkeypatch):
    """Two pairs; the selected tokens are the first ones.

    chosen -1 -3 | rejected -4: margin -2 - -4 = 2, selected -1 - -4 = 3
    chosen -5    | rejected -1 -2 -3: margin -5 - -2 = -3, selected -5 - -1 = -4
    """
    pairs = [
        TrainingPair("a", Tree([1], ([5, 6], [7]), [[True, False], [True]])),
        TrainingPair("b", Tree([1], ([5], [7, 8, 9]), [[True], [True, False, False]])),
    ]
    logps = [
        [torch.tensor([-1.0, -3.0]), torch.tensor([-4.0])],
        [torch.tensor([-5.0]), torch.tensor([-1.0, -2.0, -3.0])],
    ]

    def score_trees(_model, trees, _engine, *, batch_tokens):
        assert [tree.keep for tree in trees] == [None, None], "over all tokens"
        return logps

    monkeypatch.setattr("sepo_train.training.eval_metrics.score_trees", score_trees)
    found = evaluate_pairs(None, pairs, PLAIN, objective("sepo"))
    # log(1 + e^-6) = 0.002476, log(1 + e^8) = 8.000335
    assert found == {
        "loss": pytest.approx(4.0014, abs=1e-4),
        "rewards/chosen": -6.0,
        "rewards/rejected": -5.0,
        "rewards/margins": -1.0,
        "rewards/accuracies": 0.5,
        "logps/chosen": -3.0,
        "logps/rejected": -2.5,
        "all/margins": -0.5,
        "all/accuracies": 0.5,
    }
