"""Panels of the training curve: those that a run has numbers for, and what they have to contain."""

import numpy as np

from sepo_data.report.curve_panels import PANELS, Line, drawn_panels


def titles(rows):
    return [panel.title for panel in drawn_panels(rows)]


def test_a_metric_that_no_line_has_gets_no_panel(run_of):
    every = titles(run_of(12))
    assert every == [panel.title for panel in PANELS]
    assert [title for title in every if title not in titles(run_of(12, evaluated=False))] == [
        "Margin, all tokens (nats)",
        "KL from the start (nats)",
        "Change of length (tokens)",
    ]
    assert titles([{"step": 1, "loss": 0.5}]) == ["Loss"]
    assert titles([{"step": 1, "note": "x"}]) == []
    assert titles([]) == []


def test_lines_of_a_panel(run_of):
    loss, learning_rate = (
        next(lines for panel, lines in drawn_panels(run_of(200)).items() if panel.title == title)
        for title in ("Loss", "Learning rate")
    )
    every, held_out = loss
    assert (every.line.key, held_out.line.key) == ("loss", "eval_loss")
    assert held_out.steps.tolist() == [0, 33, 66, 99, 132, 165, 198]
    assert (held_out.values[0], held_out.means, held_out.many) == (0.72, None, False)
    assert every.many
    assert every.means[100] == np.convolve(every.values[95:106], np.ones(11), "valid") / 11
    [rate] = learning_rate
    assert (rate.means, rate.many) == (None, True), "a learning rate has no noise that a mean could take away"
    [few] = drawn_panels([{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]).values()
    assert (few[0].means, few[0].many) == (None, False)


def test_one_spike_does_not_flatten_a_panel_of_many_steps(run_of):
    rows = run_of(1000, evaluated=False)
    rows[17]["loss"] = 1e6
    _, high = next(iter(drawn_panels(rows).values()))[0].limits()
    assert high < 10
    few = [{"step": step, "loss": loss} for step, loss in enumerate((1.0, 2.0, 90.0))]
    assert next(iter(drawn_panels(few).values()))[0].limits() == (1, 90), "of few steps each is shown"


def test_each_metric_is_in_one_line():
    keys = [line.key for panel in PANELS for line in panel.lines]
    assert len(keys) == len(set(keys))
    assert Line("eval_kl").is_eval
    assert not Line("loss").is_eval
