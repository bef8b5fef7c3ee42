"""Panels of the training curve: metrics of one unit each, with the numbers that a run has for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sepo_data.report.metrics_log import points, smoothed, smoothing_window
from sepo_data.report.style import BOTH, CHOSEN, NEUTRAL, REJECTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sepo_data.report.metrics_log import Values

OUTLIERS = 0.5
"""Per cent of the steps, at either end, that may stick out of a panel of many steps: one spike must not flatten it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One key of the metrics: in every step, or with the prefix `eval_` on the holdout pairs."""

    key: str
    colour: str = NEUTRAL
    label: str = ""
    exact: bool = False
    """Without noise, so that a mean would only blur it."""
    meaning: str = ""
    """Of a line that shows something else than its panel says."""

    @property
    def is_eval(self) -> bool:
        return self.key.startswith("eval_")


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines of one unit."""

    title: str
    lines: tuple[Line, ...]
    meaning: str
    share: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A line with its numbers; each array is (steps,).

    Attributes:
        line: its key, colour and label.
        steps: ascending.
        values: of each step.
        means: over neighbouring steps, where that is drawn over faint values.
        many: so many steps that they are no points of their own, and some may stick out of the panel.
    """

    line: Line
    steps: Values
    values: Values
    means: Values | None
    many: bool

    def limits(self) -> tuple[float, float]:
        """The lowest and the highest value that the panel has to contain."""
        outliers = OUTLIERS if self.many else 0
        low, high = np.percentile(self.values, [outliers, 100 - outliers])
        return float(low), float(high)


def _both(key: str, colour: str = NEUTRAL, label: str = "") -> tuple[Line, Line]:
    """A key that is measured in training and on the holdout pairs."""
    return Line(key, colour, label), Line(f"eval_{key}", colour, label)


PANELS = (
    Panel("Loss", _both("loss"), "loss: the mean over pairs"),
    Panel(
        "Rewards",
        (*_both("rewards/chosen", CHOSEN, "chosen"), *_both("rewards/rejected", REJECTED, "rejected")),
        "rewards: the implicit rewards of the loss, of the tokens that it trains on",
    ),
    Panel("Reward margin", _both("rewards/margins"), "reward margin: chosen minus rejected"),
    Panel(
        "Accuracy",
        (
            *_both("rewards/accuracies", label="selected tokens"),
            Line(
                "eval_all/accuracies",
                BOTH,
                "all tokens",
                meaning="all tokens: share of pairs whose chosen response has the higher mean log-probability",
            ),
        ),
        "accuracy: share of pairs whose chosen response has the higher reward, ties as half",
        share=True,
    ),
    Panel(
        "Margin, all tokens (nats)",
        (Line("eval_all/margins", BOTH),),
        "margin, all tokens: mean log-probability of the chosen minus that of the rejected response, a token",
    ),
    Panel(
        "KL from the start (nats)",
        (Line("eval_kl"),),
        "KL: divergence of the policy from the model that it started from, a token",
    ),
    Panel(
        "Change of length (tokens)",
        (Line("eval_length_drift"),),
        "change of length: mean length of sampled answers minus that before training",
    ),
    Panel("Gradient norm", (Line("grad_norm"),), "gradient norm: before it is clipped"),
    Panel("Learning rate", (Line("learning_rate", exact=True),), "learning rate: of the step"),
)


def drawn_panels(rows: Sequence[dict[str, Any]]) -> dict[Panel, list[Drawn]]:
    """The panels for which the metrics `rows` have numbers, with the lines that have them."""
    found: dict[Panel, list[Drawn]] = {}
    for panel in PANELS:
        for line in panel.lines:
            steps, values = points(rows, line.key)
            if len(steps):
                window = 1 if line.is_eval else smoothing_window(len(steps))
                means = None if window == 1 or line.exact else smoothed(values, window)
                found.setdefault(panel, []).append(Drawn(line, steps, values, means, many=window > 1))
    return found
