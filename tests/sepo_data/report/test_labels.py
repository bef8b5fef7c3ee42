"""Labels of directories."""

from pathlib import Path

import pytest

from sepo_data.report.labels import label, legend_columns, short_labels, whole_ticks
from sepo_data.report.source import Source


def named(name):
    return Source(name, Path(name), None, [], complete=True)


def test_a_label_steers_nothing():
    assert label(named("runs/rewards")) == "runs/rewards"
    assert all(letter.isprintable() for letter in label(named("a\x1b[31m\x00b\u202e")))


def test_a_legend_is_as_wide_as_the_chart():
    assert legend_columns(["a", "b"]) > 2
    assert legend_columns(["x" * 100, "y"]) == 1


def test_short_labels_stay_different():
    assert short_labels(["a", "b"], 10) == ["a", "b"]
    long = [f"oracle_of_the_experiment_{place}" for place in range(3)]
    assert short_labels(long, 10) == [f"\N{HORIZONTAL ELLIPSIS}eriment_{place}" for place in range(3)]
    same_ends = [f"{place}_oracle_of_the_experiment" for place in "xyz"]
    assert short_labels(same_ends, 10) == ["1: x_oracl", "2: y_oracl", "3: z_oracl"]
    assert short_labels(["ab" * 50] * 2, 10)[0] == short_labels(["ab" * 50] * 2, 10)[1], "one label has one short form"


@pytest.mark.parametrize(
    ("steps", "ticks"),
    [
        (0, [0]),
        (1, [0, 1]),
        (5, [0, 1, 2, 3, 4, 5]),
        (14, [0, 5, 10]),
        (59, [0, 10, 20, 30, 40, 50]),
        (2000, [0, 500, 1000, 1500, 2000]),
    ],
)
def test_ticks_are_whole_steps(steps, ticks):
    assert whole_ticks(steps) == ticks
