"""The checkpoint that a run goes on from, and what a stopped command prints."""

import json

import pytest

from sepo_train.training.resume import CHECKPOINTS, TRAINER_STATE, how_to_go_on, lacks_evaluation, last_checkpoint


@pytest.fixture
def checkpoint(tmp_path):
    """Write the state of the trainer into the checkpoint of a step; a text is written as it is."""

    def write(step, state):
        folder = tmp_path / CHECKPOINTS / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        if state is not None:
            text = state if isinstance(state, str) else json.dumps(state)
            (folder / TRAINER_STATE).write_text(text, encoding="utf-8")
        return folder

    return write


def test_the_last_checkpoint_is_the_newest_with_its_state(tmp_path, checkpoint):
    assert last_checkpoint(tmp_path) is None
    for step, state in ((2, {}), (10, {}), (11, "[]"), (12, ""), (40, '{"global_st'), (99, None), ("old", {})):
        checkpoint(step, state)
    assert last_checkpoint(tmp_path).name == "checkpoint-10"


@pytest.mark.parametrize(
    ("eval_steps", "last", "lacks"),
    [
        (0, {"step": 4, "loss": 1}, False),
        (3, {"step": 4, "loss": 1}, False),
        (2, {"step": 4, "loss": 1}, True),
        (2, {"step": 4, "eval_loss": 1}, False),
    ],
)
def test_an_evaluation_that_was_cut_off(checkpoint, eval_steps, last, lacks):
    folder = checkpoint(4, {"global_step": 4, "log_history": [{"step": 2, "eval_loss": 1}, last]})
    assert lacks_evaluation(folder, eval_steps) is lacks


def test_how_to_go_on(tmp_path, checkpoint):
    assert "no step was saved" in how_to_go_on(tmp_path, "sepo train")
    folder = checkpoint(1200, {})
    assert how_to_go_on(tmp_path, "sepo train") == f"step 1,200 is saved in {folder}; go on with: sepo train --resume"
