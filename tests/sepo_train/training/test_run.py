"""Runs that a scheduler stops: where, with which checkpoint, and that nothing changes in what they compute."""

import os
import signal
from dataclasses import replace

import pytest
import torch

from sepo_data.console import interrupts
from sepo_train.engine.layout import Tree
from sepo_train.engine.layout_policy import LayoutPolicy
from sepo_train.training.objectives import objective
from sepo_train.training.resume import last_checkpoint
from sepo_train.training.run import fit
from sepo_train.training.selected_pairs import TrainingPair
from sepo_train.training.settings import Training
from sepo_train.training.trainable_model import trainable_model

SETTINGS = Training(lr=1e-2, batch_size=1, micro_batch_size=1, eval_steps=2)
LORA = replace(SETTINGS, lora_r=2)
PAIRS = [
    TrainingPair(f"p{number}", Tree([5, 6, 7 + number], ([8, 9], [10, 11, 12 + number]), [[True] * 2, [True] * 3]))
    for number in range(6)
]


@pytest.fixture
def signals():
    """Handle signals as the command does, until the test is over."""
    numbers = (signal.SIGINT, *interrupts.PREEMPTIONS)
    before = [signal.getsignal(number) for number in numbers]
    interrupts.raise_on_signals()
    yield
    interrupts.raise_on_signals()  # forgets what was received
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


class StopAt:
    """A progress that gets a signal in a step, and evaluates so that it may get one there."""

    def __init__(self, step=None, evaluation=None):
        self.step, self.evaluation = step, evaluation
        self.notes, self.evaluations = [], 0

    def note(self, text):
        self.notes.append(text)

    def metrics(self, done, _total, values):
        if done == self.step and "loss" in values:
            os.kill(os.getpid(), signal.SIGTERM)

    def evaluate(self, model):
        self.evaluations += 1
        if self.evaluations == self.evaluation:
            os.kill(os.getpid(), signal.SIGTERM)
        return {"loss": round(float(model.get_input_embeddings().weight.detach().double().sum()), 6)}


def run(out, model, progress, training=SETTINGS, *, resume=False):
    model = trainable_model(str(model), training)
    with interrupts.postponed():
        logged, _ = fit(
            model,
            PAIRS,
            lengths=[pair.tree.shared_length for pair in PAIRS],
            objective=objective("sepo"),
            layout_policy=LayoutPolicy(1 << 40),
            training=training,
            out=out,
            resume=resume,
            progress=progress,
            evaluate=progress.evaluate,
        )
    keys = ("step", "loss", "eval_loss")
    return model.state_dict(), [{name: entry[name] for name in keys if name in entry} for entry in logged]


@pytest.mark.parametrize(
    ("where", "settings", "saved"),
    [
        ({"step": 3}, SETTINGS, 4),  # the signal comes when step 3 is reported, so step 4 is the one at hand
        ({"step": 3}, LORA, 4),
        ({"step": 5}, SETTINGS, 6),  # the last step: its evaluation is left to the run that resumes
        ({"evaluation": 2}, SETTINGS, 2),  # the first is before training
        ({"evaluation": 4}, SETTINGS, 6),
    ],
)
@pytest.mark.usefixtures("signals")
def test_a_stopped_run_goes_on_as_if_nothing_had_been(tiny_model, tmp_path, where, settings, saved):
    whole, history = run(tmp_path / "whole", tiny_model, StopAt(), settings)
    with pytest.raises(interrupts.Stopped):
        run(tmp_path / "cut", tiny_model, StopAt(**where), settings)
    assert interrupts.stopped_by() == signal.SIGTERM
    assert last_checkpoint(tmp_path / "cut").name == f"checkpoint-{saved}"
    interrupts.raise_on_signals()
    resumed, again = run(tmp_path / "cut", tiny_model, StopAt(), settings, resume=True)
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert again == history


@pytest.mark.usefixtures("signals")
def test_a_signal_before_the_first_step_saves_nothing(tiny_model, tmp_path):
    with pytest.raises(interrupts.Stopped):
        run(tmp_path, tiny_model, StopAt(evaluation=1))
    assert last_checkpoint(tmp_path) is None


@pytest.mark.usefixtures("signals")
def test_what_becomes_of_a_checkpoint_is_noted(tiny_model, tmp_path):
    first = StopAt(step=2)
    with pytest.raises(interrupts.Stopped):
        run(tmp_path, tiny_model, first, resume=True)
    assert "has no complete checkpoint to resume from" in first.notes[0]
    interrupts.raise_on_signals()
    second = StopAt()
    run(tmp_path, tiny_model, second)
    assert "starting over beside" in second.notes[0]
    assert "add --resume" in second.notes[0]
