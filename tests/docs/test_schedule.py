"""The page on training states what the trainer does: schedule, optimizer, clipping."""

from __future__ import annotations

from pathlib import Path

import pytest

from sepo_train.training.pair_trainer import learning_rate_factor
from sepo_train.training.run import _arguments
from sepo_train.training.settings import Training

PAGE = Path(__file__).resolve().parents[2] / "docs" / "training.md"


@pytest.fixture(scope="module")
def stated():
    [paragraph] = [
        part for part in PAGE.read_text(encoding="utf-8").split("\n- ") if part.startswith("The optimizer is")
    ]
    return " ".join(paragraph.split())


def test_the_optimizer_and_clipping(stated, tmp_path):
    arguments = _arguments(Training(), tmp_path, evaluates=False, evaluates_first=False)
    assert arguments.optim.startswith("adamw_torch")
    assert f"AdamW with betas {arguments.adam_beta1} and {arguments.adam_beta2}" in stated
    assert arguments.adam_epsilon == 1e-8
    assert "epsilon 1e-8" in stated
    assert arguments.weight_decay == 0
    assert "no weight decay" in stated
    assert arguments.max_grad_norm == 1.0
    assert "clipped to a norm of 1." in stated


def test_the_schedule(stated):
    assert "rises in a line over the first 10% of the steps to `--lr`, then falls as a cosine towards 0" in stated
    assert Training().warmup_share == 0.1
    factors = [learning_rate_factor(step, 100, Training().warmup_share) for step in range(100)]
    assert factors.index(max(factors)) == 10
    assert factors[10] == 1
    assert factors[:11] == pytest.approx([step / 11 for step in range(1, 12)])
    assert factors[55] == pytest.approx(0.5)
    assert 0 < factors[99] < 0.001
