"""The picture of a training run."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from sepo_train.publishing.curve import curve_figure, draw_curve, points, read_metrics, smoothed, smoothing_window

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed (the extra `plot`)")


def run_of(steps, *, evaluated=True, every=None):
    """The metrics of a run that learns, with noise that is always the same."""
    noise = np.random.default_rng(0).normal(size=(steps, 4))
    rows = []
    for step in range(1, steps + 1):
        done, (a, b, c, d) = step / steps, noise[step - 1]
        margin = 2 * done + 0.6 * a
        rows.append(
            {
                "step": step,
                "epoch": round(2 * done, 4),
                "loss": math.log1p(math.exp(-margin)) + 0.02,
                "grad_norm": float(20 * np.exp(-done + 0.3 * b)),
                "learning_rate": 1e-6 * (1 + math.cos(math.pi * done)) / 2,
                "rewards/chosen": -8 + done + 0.5 * c,
                "rewards/rejected": -8 - done + 0.5 * d,
                "rewards/margins": margin,
                "rewards/accuracies": min(1.0, max(0.0, 0.5 + 0.35 * done + 0.1 * a)),
            }
        )
    evaluations = range(0, steps + 1, every or max(1, steps // 6)) if evaluated else ()
    return [*rows, *({"step": step, "epoch": 2 * step / steps, **eval_metrics(step / steps)} for step in evaluations)]


def eval_metrics(done):
    return {
        "eval_loss": 0.72 - 0.3 * done,
        "eval_rewards/chosen": -8 + 0.5 * done,
        "eval_rewards/rejected": -8 - 0.8 * done,
        "eval_rewards/margins": 1.3 * done,
        "eval_rewards/accuracies": 0.5 + 0.25 * done,
        "eval_all/margins": -0.1 + 0.1 * done,
        "eval_all/accuracies": 0.45 + 0.2 * done,
        "eval_kl": 0.03 * done * done,
        "eval_length": 40 + 5 * done,
        "eval_length_drift": 5 * done,
    }


def written(folder, rows):
    file = folder / "metrics.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def titles(rows):
    return [axes.get_title(loc="left") for axes in curve_figure(rows).axes]


def test_a_mean_over_neighbours():
    # of two at the ends, 1 and 2 or 4 and 8, of three between
    assert smoothed(np.array([1.0, 2, 3, 4, 8]), 3).tolist() == [1.5, 2, 3, 5, 6]
    assert smoothed(np.array([1.0, 7]), 1).tolist() == [1, 7]


def test_few_steps_are_not_smoothed():
    # a fortieth of them to either side, and at least 2
    assert [smoothing_window(steps) for steps in (1, 50, 51, 200, 5000)] == [1, 1, 5, 11, 251]


def test_points_of_a_run_that_went_back_to_a_checkpoint():
    rows = [{"step": 2, "loss": 0.5}, {"step": 3, "loss": 0.4}, {"step": 1, "loss": 0.7}, {"step": 3, "loss": 0.3}]
    rows += [{"step": 4, "loss": math.nan}, {"step": 5, "loss": None}, {"step": 6, "loss": True}, {"step": 7}]
    at, values = points(rows, "loss")
    assert at.tolist() == [1, 2, 3]
    assert values.tolist() == [0.7, 0.5, 0.3]
    assert points(rows, "eval_loss")[0].tolist() == []


def test_lines_that_are_none(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1, "loss": 0.5}\n[1]\n{"loss": 1}\n{"step": 2, "lo', encoding="utf-8")
    assert read_metrics(file) == [{"step": 1, "loss": 0.5}]
    assert read_metrics(tmp_path / "none.jsonl") == []


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 5000])
def test_the_picture(tmp_path, steps):
    assert draw_curve(written(tmp_path, run_of(steps)), tmp_path / "curve.png")
    picture = (tmp_path / "curve.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert matplotlib.__version__.encode() not in picture
    # width and height, from byte 16 of a PNG: three panels of 330 points side by side
    assert [int.from_bytes(picture[at : at + 4]) for at in (16, 20)] == [990, 705]


@pytest.mark.slow
def test_the_same_numbers_give_the_same_picture(tmp_path):
    metrics = written(tmp_path, run_of(8, evaluated=False))
    first, second = tmp_path / "curve.png", tmp_path / "again.png"
    assert draw_curve(metrics, first)
    assert draw_curve(metrics, second)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
def test_there_is_a_panel_for_what_is_told_alone():
    every = titles(run_of(12))
    assert len(every) == 9
    assert [title for title in every if title not in titles(run_of(12, evaluated=False))] == [
        "Margin, all tokens (nats a token)",
        "KL from the start (nats a token)",
        "Change of sampled length (tokens)",
    ]
    assert titles([{"step": 1, "loss": 0.5}]) == ["Loss"]
    assert curve_figure([{"step": 1, "note": "x"}]) is None


def test_what_a_panel_shows():
    figure = curve_figure(run_of(200))
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    faint, mean, held_out = panels["Loss"].lines
    assert len(faint.get_xdata()) == len(mean.get_xdata()) == 200
    assert held_out.get_xdata().tolist() == [0, 33, 66, 99, 132, 165, 198]
    assert held_out.get_ydata()[0] == 0.72
    labels = [text.get_text() for text in panels["Rewards"].get_legend().get_texts()]
    assert labels == ["chosen", "rejected"]
    labels = [text.get_text() for text in panels["Accuracy"].get_legend().get_texts()]
    assert labels == ["selected tokens", "all tokens"]
    [rate] = panels["Learning rate  $\\mathregular{(10^{-6})}$"].lines
    assert rate.get_ydata()[99] == 5e-7, "half way down a cosine, and not a mean"
    assert "200 optimizer steps, 2 epochs" in figure.get_suptitle()
    assert "mean over 11 steps" in figure.get_suptitle()


def test_one_spike_does_not_flatten_a_panel():
    rows = run_of(1000, evaluated=False)
    rows[17]["loss"] = 1e6
    low, high = curve_figure(rows).axes[0].get_ylim()
    assert low < 0.5
    assert high < 10


def test_nothing_is_drawn_without_numbers_or_matplotlib(tmp_path, monkeypatch):
    picture = tmp_path / "curve.png"
    assert not draw_curve(written(tmp_path, []), picture)
    metrics = written(tmp_path, run_of(8))
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert not draw_curve(metrics, picture)
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]


@pytest.mark.slow
def test_matplotlib_is_imported_late_and_its_global_state_never(tmp_path):
    metrics = written(tmp_path, run_of(3))
    code = f"""
import pathlib, sys
from sepo_train.publishing.curve import draw_curve
early = "matplotlib" in sys.modules
drawn = draw_curve(pathlib.Path({str(metrics)!r}), pathlib.Path({str(tmp_path / "curve.png")!r}))
print(early, drawn, "matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False"]
