"""The log of a training run, as one line a step or as a table of the last steps."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLE_STEPS = 10
"""Steps that the table shows; of evaluations, half as many."""

STEP_COLUMNS = {
    "loss": "{:.4f}",
    "rewards/margins": "{:+.3f}",
    "rewards/accuracies": "{:.0%}",
    "rewards/chosen": "{:+.3f}",
    "rewards/rejected": "{:+.3f}",
    "tokens/selected_fraction": "{:.0%}",
    "grad_norm": "{:.3g}",
    "learning_rate": "{:.2g}",
}

EVALUATION_COLUMNS = {
    "eval_loss": "{:.4f}",
    "eval_rewards/margins": "{:+.3f}",
    "eval_rewards/accuracies": "{:.0%}",
    "eval_all/margins": "{:+.4f}",
    "eval_all/accuracies": "{:.0%}",
    "eval_kl": "{:.2g}",
    "eval_length": "{:.1f}",
    "eval_length_drift": "{:+.1f}",
}


def metrics_line(values: Mapping[str, float]) -> str:
    """The metrics of a training step or of an evaluation on the holdout, in a line."""
    if "loss" in values:
        return f"loss {values['loss']:.4f}  margin {values['rewards/margins']:.3f}{_accuracy(values)}"
    kl = f"  kl {values['eval_kl']:.2g}  length {values['eval_length']:.1f}" if "eval_kl" in values else ""
    return (
        f"holdout: loss {values['eval_loss']:.4f}{_accuracy(values, 'eval_')}, "
        f"on all tokens {values['eval_all/accuracies']:.0%}{kl}"
    )


def _accuracy(values: Mapping[str, float], prefix: str = "") -> str:
    """Empty where all rewards are equal, as those of a model against itself."""
    found = values.get(f"{prefix}rewards/accuracies")
    return "" if found is None else f"  accuracy {found:.0%}"


class TrainingTable:
    """The last steps, and below them the last evaluations on the holdout."""

    def __init__(self) -> None:
        self._steps: deque[tuple[int, Mapping[str, float]]] = deque(maxlen=TABLE_STEPS)
        self._evaluations: deque[tuple[int, Mapping[str, float]]] = deque(maxlen=TABLE_STEPS // 2)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        (self._steps if "loss" in values else self._evaluations).append((step, values))

    def tables(self) -> list[Table]:
        """The tables that have rows."""
        parts = (("training", self._steps, STEP_COLUMNS), ("holdout", self._evaluations, EVALUATION_COLUMNS))
        return [_table(title, rows, columns) for title, rows, columns in parts if rows]


def _table(title: str, rows: deque[tuple[int, Mapping[str, float]]], columns: Mapping[str, str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    shown = [name for name in columns if any(name in values for _, values in rows)]
    for name in ("step", *shown):
        table.add_column(name.removeprefix("eval_").removeprefix("tokens/"), justify="right")
    for step, values in rows:
        cells = (columns[name].format(values[name]) if name in values else "" for name in shown)
        table.add_row(str(step), *cells)
    return table
