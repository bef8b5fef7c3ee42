"""Hooks of `transformers.Trainer` that `PairTrainer` overrides: each is really called, with the meaning it had."""

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from transformers import Trainer

from sepo_data.console.progress import SILENT
from sepo_train.engine.layout import Tree
from sepo_train.engine.layout_policy import LayoutPolicy
from sepo_train.training.objectives import objective
from sepo_train.training.pair_trainer import PairTrainer, learning_rate_factor
from sepo_train.training.run import fit
from sepo_train.training.selected_pairs import TrainingPair
from sepo_train.training.settings import Training
from sepo_train.training.trainable_model import trainable_model

pytestmark = pytest.mark.unstable_api

PAIRS = [TrainingPair(f"pair{number}", Tree([5, 6], ([7 + number, 8], [9]))) for number in range(5)]
TRAINING = Training(lr=1e-3, batch_size=3, micro_batch_size=1, epochs=2.0, warmup_share=0.5)
"""Two epochs of 3 and 2 pairs, each in a micro-batch of its own: 4 steps, 10 micro-batches."""


@pytest.fixture
def logged(tiny_model, tmp_path, monkeypatch):
    """A run of `TRAINING` with the calls of each hook: (logged metrics, calls by name of the hook)."""
    calls = {name: [] for name in ("training_step", "compute_loss", "_get_grad_norm", "create_scheduler", "evaluate")}

    def record(name):
        hook = getattr(PairTrainer, name)

        def recorded(trainer, *arguments, **options):
            result = hook(trainer, *arguments, **options)
            calls[name].append((trainer, arguments, options, result))
            return result

        monkeypatch.setattr(PairTrainer, name, recorded)

    for name in calls:
        assert callable(getattr(Trainer, name)), f"transformers.Trainer has no {name} to override"
        record(name)
    history, weights = fit(
        trainable_model(str(tiny_model), TRAINING),
        PAIRS,
        lengths=[pair.tree.shared_length for pair in PAIRS],
        objective=objective("sepo"),
        layout_policy=LayoutPolicy(1 << 40),
        training=replace(TRAINING, eval_steps=2),
        out=tmp_path,
        resume=False,
        progress=SILENT,
        evaluate=lambda _model: {"loss": 1.0},
    )
    assert weights is None, "one process has all weights"
    return history, calls


def test_a_training_step_is_an_optimizer_step(logged):
    history, calls = logged
    losses = [entry["loss"] for entry in history if "loss" in entry]
    assert len(calls["training_step"]) == len(losses) == 4
    for (_, arguments, _, result), loss in zip(calls["training_step"], losses, strict=True):
        assert loss == pytest.approx(float(result), abs=1e-4), "the logged loss is the returned one, not a share"
        assert isinstance(arguments[1], list), "the micro-batches of a step reach it as they were collated"


def test_every_pair_counts_once_under_accumulation(logged):
    _, calls = logged
    pairs = [float(options["num_items_in_batch"]) for _, _, options, _ in calls["compute_loss"]]
    assert pairs == [3.0] * 3 + [2.0] * 2 + [3.0] * 3 + [2.0] * 2
    for epoch in (calls["compute_loss"][:5], calls["compute_loss"][5:]):
        seen = [name for _, (_, batch), _, _ in epoch for name in batch["pair_ids"]]
        assert sorted(seen) == [pair.pair_id for pair in PAIRS]


def test_the_gradient_norm_is_checked_in_every_step(logged):
    history, calls = logged
    norms = [float(result) for *_, result in calls["_get_grad_norm"]]
    assert norms == pytest.approx([entry["grad_norm"] for entry in history if "loss" in entry], rel=1e-5)


def test_the_schedule_is_ours(logged):
    history, calls = logged
    assert calls["create_scheduler"][0][1][:1] == (4,) or calls["create_scheduler"][0][2]["num_training_steps"] == 4
    rates = [entry["learning_rate"] for entry in history if "loss" in entry]
    # Logged before or after the scheduler's step, depending on the version: the rate of this step or of the next one.
    ours = [TRAINING.lr * learning_rate_factor(step, 4, TRAINING.warmup_share) for step in range(5)]
    assert rates == pytest.approx(ours[:4]) or rates == pytest.approx(ours[1:])


def test_it_evaluates_at_the_start_every_eval_steps_and_at_the_end(logged):
    history, calls = logged
    assert [entry["step"] for entry in history if "eval_loss" in entry] == [0, 2, 4]
    assert len(calls["evaluate"]) == 3


def test_gradients_are_exchanged_in_the_last_micro_batch_alone():
    accelerator = Accelerator(cpu=True)
    for value in (False, True):
        accelerator.sync_gradients = value
        assert accelerator.gradient_state.sync_gradients is value
    with accelerator.no_sync(torch.nn.Linear(1, 1)):
        pass


def test_processes_that_share_weights_are_recognised(logged):
    _, calls = logged
    trainer = calls["training_step"][0][0]
    assert trainer.is_fsdp_enabled is False
    assert trainer.is_deepspeed_enabled is False
    assert trainer.shares_weights is False
    assert set(trainer.accelerator.get_state_dict(trainer.model_wrapped)) == set(trainer.model.state_dict())
