"""The log of a training run: lines, points, means over neighbours, points that a picture needs."""

import json
import math

import numpy as np

from sepo_data.report.metrics_log import evenly, points, read_metrics, smoothed, smoothing_window, thinned


def test_a_mean_over_neighbours():
    # of two at the ends, 1 and 2 or 4 and 8, of three between
    assert smoothed(np.array([1.0, 2, 3, 4, 8]), 3).tolist() == [1.5, 2, 3, 5, 6]
    assert smoothed(np.array([1.0, 7]), 1).tolist() == [1, 7]
    assert smoothed(np.array([1.0, 2, 6]), 9).tolist() == [3, 3, 3], "a window may be wider than the run"


def test_a_mean_is_that_of_a_plain_loop_also_after_a_huge_value():
    values = np.random.default_rng(1).normal(size=200)
    values[20] = 1e30
    means = smoothed(values, 11)
    for at in range(200):
        expected = np.mean(values[max(0, at - 5) : at + 6])
        assert math.isclose(means[at], expected, rel_tol=1e-12, abs_tol=1e-12), at


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
    lines = ['{"step": 1, "loss": 0.5}', "[1]", '{"loss": 1}', '{"step": -1, "loss": 1}', '{"step": NaN}', "[" * 99_999]
    lines += [json.dumps({"step": 10**400, "loss": 1}), json.dumps({"step": 2, "loss": 10**400}), '{"step": 2, "lo']
    file.write_text("\n".join(lines), encoding="utf-8")
    rows = read_metrics(file)
    assert rows == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 10**400}]
    assert points(rows, "loss")[0].tolist() == [1]
    file.write_bytes(b'\xff\xfe\n{"step": 3}\n')
    assert read_metrics(file) == [{"step": 3}]
    assert read_metrics(tmp_path / "none.jsonl") == []


def test_thinned_lines_keep_every_peak():
    values = np.zeros(10_000)
    values[[17, 4_321]], values[9_998] = 5, -5
    kept = thinned(values, 100)
    assert len(kept) <= 100
    assert {17, 4_321, 9_998} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()
    assert thinned(values[:100], 100).tolist() == list(range(100))


def test_even_places_have_both_ends():
    assert evenly(1001, 5).tolist() == [0, 250, 500, 750, 1000]
    assert evenly(3, 5).tolist() == [0, 1, 2]
    assert evenly(1, 5).tolist() == [0]
