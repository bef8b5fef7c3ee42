"""The log of a training run: metrics of each step and evaluation, to the command and to `metrics.jsonl`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from sepo_data.storage.atomic import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from transformers import TrainerControl, TrainerState, TrainingArguments

    from sepo_data.console.progress import Progress


class StepLog(TrainerCallback):
    """Reports the metrics of each step and evaluation, and appends them to `metrics.jsonl`."""

    def __init__(self, progress: Progress, metrics: Path, *, evaluates: bool) -> None:
        self._progress = progress
        self._metrics = metrics
        self._evaluates = evaluates

    def on_train_begin(
        self,
        args: TrainingArguments,  # noqa: ARG002 - as in transformers
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002 - as in transformers
        **_kwargs: Any,  # noqa: ANN401 - as in transformers
    ) -> None:
        # A run that resumes from a checkpoint drops the lines logged after it.
        if state.is_world_process_zero:
            write_text(self._metrics, "".join(map(_line, history(state))))

    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002 - as in transformers
        state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,  # noqa: ANN401 - as in transformers
    ) -> None:
        # The last evaluation belongs into the run: loggers are closed after it.
        control.should_evaluate |= self._evaluates and state.global_step >= state.max_steps

    def on_log(
        self,
        args: TrainingArguments,  # noqa: ARG002 - as in transformers
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002 - as in transformers
        **_kwargs: Any,  # noqa: ANN401 - as in transformers
    ) -> None:
        entry = state.log_history[-1]
        if not _is_metric(entry):
            return
        if state.is_world_process_zero:
            with self._metrics.open("a", encoding="utf-8") as file:
                file.write(_line(entry))
        self._progress.metrics(state.global_step, state.max_steps, entry)


def history(state: TrainerState) -> list[dict[str, float]]:
    """The logged metrics of steps and evaluations, without the trainer's own summary."""
    return list(filter(_is_metric, state.log_history))


def _is_metric(entry: Mapping[str, float]) -> bool:
    return "loss" in entry or any(name.startswith("eval_") for name in entry)


def _line(entry: Mapping[str, float]) -> str:
    return json.dumps({name: value for name, value in entry.items() if math.isfinite(value)}) + "\n"
