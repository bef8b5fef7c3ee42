"""The log of a training run, `metrics.jsonl`, as numbers to draw: read, smoothed, thinned."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Values = NDArray[np.float64]

METRICS = "metrics.jsonl"
"""The file in a model directory."""

SINGLE_STEPS = 50
"""Up to this number of steps, each is a point of its own; beyond, they are noise around a line."""
WINDOWS = 20
"""A line through many steps averages over 1 / WINDOWS of them."""
MOST_POINTS = 1_000
"""Points of a drawn line: more than a panel has dots."""


def read_metrics(metrics: Path) -> list[dict[str, Any]]:
    """The lines of `metrics`; one that a killed run has left half-written is none."""
    rows = []
    for line in metrics.read_text(encoding="utf-8", errors="replace").splitlines() if metrics.exists() else ():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and _is_number(row.get("step")) and row["step"] >= 0:
            rows.append(row)
    return rows


def points(rows: Sequence[dict[str, Any]], key: str) -> tuple[Values, Values]:
    """The steps with a finite `key`, ascending, and its values; both (steps,).

    Of a step with several lines, because a run went back to a checkpoint, the last one counts.
    """
    found = {row["step"]: row[key] for row in rows if _is_number(row.get(key))}
    steps = sorted(found)
    return np.array(steps, np.float64), np.array([found[step] for step in steps], np.float64)


def smoothed(values: Values, window: int) -> Values:
    """The mean of each value and its neighbours, `window` in all and fewer at both ends; (steps,) in and out.

    `window` is odd. Each sum is of its own values alone: one huge value must not round the means of all later ones.
    """
    side, ones = window // 2, np.ones(window)
    sums, counts = (np.convolve(each, ones)[side : side + len(values)] for each in (values, np.ones(len(values))))
    return sums / counts


def smoothing_window(steps: int) -> int:
    """Number of steps that a line averages over: odd, 1 for few steps."""
    return 1 if steps <= SINGLE_STEPS else 2 * max(2, steps // (2 * WINDOWS)) + 1


def thinned(values: Values, most: int = MOST_POINTS) -> NDArray[np.int64]:
    """Places of at most `most` values, ascending: of each stretch the lowest and the highest, so no peak is lost."""
    if len(values) <= most:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), most // 2 + 1).astype(np.int64)
    kept = [first + place(values[first:last]) for first, last in pairwise(edges) for place in (np.argmin, np.argmax)]
    return np.unique(np.array(kept, np.int64))


def evenly(number: int, most: int = MOST_POINTS // 2) -> NDArray[np.int64]:
    """Places of at most `most` of `number` values, as far from one another, the first and the last among them."""
    return np.unique(np.linspace(0, number - 1, min(number, most)).astype(np.int64))


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the floats
        return False
