"""Checkpoints of a run that was stopped: the one to go on from, and what is missing there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

CHECKPOINTS = "checkpoints"
TRAINER_STATE = "trainer_state.json"


def last_checkpoint(out: Path) -> Path | None:
    """The newest complete checkpoint in `out`: the trainer writes its state last."""
    found = (out / CHECKPOINTS).glob("checkpoint-*")
    newest_first = sorted((folder for folder in found if _step(folder) >= 0), key=_step, reverse=True)
    return next(filter(is_complete_checkpoint, newest_first), None)


def is_complete_checkpoint(checkpoint: Path) -> bool:
    """True if the trainer came to the end of writing it."""
    return _state(checkpoint) is not None


def lacks_evaluation(checkpoint: Path, eval_steps: int) -> bool:
    """True if the run was stopped before the evaluation of the checkpoint's step, one of every `eval_steps`."""
    state = _state(checkpoint) or {}
    step = state.get("global_step", 0)
    entries = (entry for entry in state.get("log_history", []) if entry.get("step") == step)
    return bool(eval_steps) and step % eval_steps == 0 and not any("eval_loss" in entry for entry in entries)


def how_to_go_on(out: Path, command: str) -> str:
    """The step that a stopped run in `out` has saved, and the command that goes on.

    Args:
        out: the directory of the run.
        command: the command that was given, without --resume.
    """
    from sepo_data.stages.directory import is_complete

    if is_complete(out):
        return f"{out} is complete"
    if (checkpoint := last_checkpoint(out)) is None:
        return "no step was saved, so the same command starts over; --save-steps N saves a checkpoint every N steps"
    return f"step {_step(checkpoint):,} is saved in {checkpoint}; go on with: {command} --resume"


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def _state(checkpoint: Path) -> dict[str, Any] | None:
    """The state of the trainer in a checkpoint; None where it is missing, or was cut while it was written."""
    try:
        state = json.loads((checkpoint / TRAINER_STATE).read_bytes())
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None
