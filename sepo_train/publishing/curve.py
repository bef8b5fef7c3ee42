"""The training curve: `metrics.jsonl` as a picture of small multiples, one panel for each metric."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sepo_data.storage.atomic import atomic_write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

CURVE = "curve.png"

COLUMNS = 3
TICKS = (1, 2, 2.5, 5, 10)
PANEL_INCHES = (3.3, 2.25)
SINGLE_STEPS = 50
"""Up to this number of steps, each is a point of its own; beyond, they are noise around a line."""
WINDOWS = 20
"""A line through many steps averages over 1 / WINDOWS of them."""
OUTLIERS = 0.5
"""Per cent of the steps, at either end, that may stick out of a panel of many steps: one spike must not flatten it."""

# Colours that can be distinguished without red and green (Okabe and Ito).
NEUTRAL, CHOSEN, REJECTED, ALL_TOKENS = "#444444", "#0072b2", "#d55e00", "#009e73"


@dataclass(frozen=True, slots=True)
class Line:
    """One key of the metrics: in every step, or with the prefix `eval_` on the holdout pairs."""

    key: str
    colour: str = NEUTRAL
    label: str = ""
    exact: bool = False
    """Without noise, so that a mean would only blur it."""

    @property
    def is_eval(self) -> bool:
        return self.key.startswith("eval_")


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines of one unit."""

    title: str
    lines: tuple[Line, ...]
    share: bool = False


def _both(key: str, colour: str = NEUTRAL, label: str = "") -> tuple[Line, Line]:
    """A key that is measured in training and on the holdout pairs."""
    return Line(key, colour, label), Line(f"eval_{key}", colour)


PANELS = (
    Panel("Loss", _both("loss")),
    Panel("Rewards", (*_both("rewards/chosen", CHOSEN, "chosen"), *_both("rewards/rejected", REJECTED, "rejected"))),
    Panel("Reward margin", _both("rewards/margins")),
    Panel(
        "Accuracy",
        (*_both("rewards/accuracies", label="selected tokens"), Line("eval_all/accuracies", ALL_TOKENS, "all tokens")),
        share=True,
    ),
    Panel("Margin, all tokens (nats a token)", (Line("eval_all/margins", ALL_TOKENS),)),
    Panel("KL from the start (nats a token)", (Line("eval_kl"),)),
    Panel("Change of sampled length (tokens)", (Line("eval_length_drift"),)),
    Panel("Gradient norm", (Line("grad_norm"),)),
    Panel("Learning rate", (Line("learning_rate", exact=True),)),
)


def draw_curve(metrics: Path, picture: Path) -> bool:
    """Draw `metrics.jsonl` as the PNG file `picture`; a metric that no line has gets no panel.

    Of a step with several lines, because a run went back to a checkpoint, the last one counts.

    Returns:
        True if a picture was written: none is without matplotlib (the extra `plot`), or without a number to draw.
    """
    try:
        figure = curve_figure(read_metrics(metrics))
    except ImportError:
        return False
    if figure is None:
        return False
    with atomic_write(picture) as file:
        # Without the version of matplotlib in it, so that the same numbers give the same bytes.
        figure.savefig(file, format="png", metadata={"Software": None})
    return True


def curve_figure(rows: Sequence[dict[str, Any]]) -> Figure | None:
    """The panels for which `rows` have numbers, three side by side; None where there is none."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts_of = {panel: [len(points(rows, line.key)[0]) for line in panel.lines] for panel in PANELS}
    panels = [panel for panel, counts in counts_of.items() if any(counts)]
    if not panels:
        return None
    columns, lines = min(COLUMNS, len(panels)), math.ceil(len(panels) / COLUMNS)
    # Room for the line of text at the top.
    figure = Figure(figsize=(PANEL_INCHES[0] * columns, PANEL_INCHES[1] * lines + 0.3), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    steps = max(int(row["step"]) for row in rows)
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(lines, columns, number + 1)
        _draw_panel(axes, panel, rows, steps)
        if number >= len(panels) - columns:
            axes.set_xlabel("optimizer step", fontsize=8)
    _explain(figure, rows, steps)
    return figure


def read_metrics(metrics: Path) -> list[dict[str, Any]]:
    """The lines of `metrics`; one that a killed run has left half-written is none."""
    rows = []
    for line in metrics.read_text(encoding="utf-8", errors="replace").splitlines() if metrics.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and _number(row.get("step")):
            rows.append(row)
    return rows


def points(rows: Sequence[dict[str, Any]], key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The steps with a finite `key`, ascending, and its values; both (steps,)."""
    found = {row["step"]: row[key] for row in rows if _number(row.get(key))}
    steps = sorted(found)
    return np.array(steps, np.float64), np.array([found[step] for step in steps], np.float64)


def smoothed(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """The mean of each value and its neighbours, `window` in all and fewer at both ends; (steps,) in and out."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    first, last = np.maximum(at - window // 2, 0), np.minimum(at + window // 2 + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)


def smoothing_window(steps: int) -> int:
    """Number of steps that a line averages over: odd, 1 for few steps."""
    return 1 if steps <= SINGLE_STEPS else 2 * max(2, steps // (2 * WINDOWS)) + 1


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _draw_panel(axes: Axes, panel: Panel, rows: Sequence[dict[str, Any]], steps: int) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter, ScalarFormatter, StrMethodFormatter

    seen = []
    for line in panel.lines:
        at, values = points(rows, line.key)
        if len(at):
            draw = _draw_eval if line.is_eval else _draw_training
            seen += [draw(axes, line, at, values)]
    low, high = min(low for low, _ in seen), max(high for _, high in seen)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 0.1
    axes.set_ylim(low - room, high + room)
    axes.set_xlim(0 if steps > 1 else 0.5, steps + 0.02 * steps)
    axes.tick_params(labelsize=7.5, length=2.5, width=0.6, colors="#333333")
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_linewidth(0.6)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=TICKS))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=TICKS))
    power = _power(max(abs(low), abs(high)))
    numbers = ScalarFormatter(useOffset=False)
    numbers.set_scientific(bool(power))
    numbers.set_powerlimits((power, power))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0) if panel.share else numbers)
    axes.yaxis.get_offset_text().set_visible(False)  # the title has it
    scale = rf"  $\mathregular{{(10^{{{power}}})}}$" if power else ""
    axes.set_title(f"{panel.title}{scale}", loc="left", fontsize=9, fontweight="bold", pad=5)
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) > 1:
        # On the title's line: inside a panel it would hide what is drawn there.
        axes.legend(
            handles,
            labels,
            loc="lower right",
            bbox_to_anchor=(1.02, 0.985),
            ncols=len(handles),
            fontsize=7.5,
            frameon=False,
            handlelength=1.0,
            handletextpad=0.4,
            columnspacing=1.0,
            borderaxespad=0.0,
        )


def _power(size: float) -> int:
    """The power of ten to write values up to `size` with; 0 for those that are readable without one."""
    power = math.floor(math.log10(1.01 * size)) if size else 0  # the highest of many steps may stick out
    return 0 if -3 <= power <= 4 else power  # noqa: PLR2004 - 0.001 to 99,999


def _draw_training(axes: Axes, line: Line, at: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, float]:
    """Draw a metric of every step; return the lowest and the highest value that the panel has to contain."""
    window = smoothing_window(len(at))
    if window == 1:
        axes.plot(at, values, color=line.colour, linewidth=1.2, marker="o", markersize=2.4, label=line.label or None)
        return float(values.min()), float(values.max())
    if not line.exact:
        axes.plot(at, values, color=line.colour, linewidth=0.5, alpha=0.25)
    means = values if line.exact else smoothed(values, window)
    axes.plot(at, means, color=line.colour, linewidth=1.5, label=line.label or None)
    low, high = np.percentile(values, [OUTLIERS, 100 - OUTLIERS])
    return float(low), float(high)


def _draw_eval(axes: Axes, line: Line, at: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, float]:
    """Draw a metric of evaluations, as markers over the lines of training; return its lowest and highest value."""
    axes.plot(
        at,
        values,
        color=line.colour,
        linewidth=0.8,
        linestyle=(0, (3, 2)),
        marker="o",
        markersize=4.5,
        markerfacecolor="white",
        markeredgewidth=1.2,
        zorder=4,
        clip_on=False,
        label=line.label or None,
    )
    return float(values.min()), float(values.max())


def _explain(figure: Figure, rows: Sequence[dict[str, Any]], steps: int) -> None:
    """Write one line over the panels: the length of the run and the meaning of the marks."""
    epochs = points(rows, "epoch")[1]
    trained = len(points(rows, "loss")[0])
    window = smoothing_window(trained)
    notes = [f"{steps:,} optimizer step{'s' if steps > 1 else ''}"]
    if len(epochs):
        notes[0] += f", {epochs.max():.3g} epoch{'s' if epochs.max() > 1 else ''}"
    if window > 1:
        notes.append(f"faint: every step; line: mean over {window} steps")
    if any(key.startswith("eval_") for row in rows for key in row):
        notes.append("circles: holdout pairs")
    figure.suptitle("   ·   ".join(notes), fontsize=8, color="#555555", x=0.01, ha="left")
