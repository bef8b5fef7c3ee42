"""Labels of directories."""

from pathlib import Path

from sepo_data.report.labels import label, legend_columns
from sepo_data.report.source import Source


def named(name):
    return Source(name, Path(name), None, [], complete=True)


def test_a_label_steers_nothing():
    assert label(named("runs/rewards")) == "runs/rewards"
    assert all(letter.isprintable() for letter in label(named("a\x1b[31m\x00b\u202e")))


def test_a_legend_is_as_wide_as_the_chart():
    assert legend_columns(["a", "b"]) > 2
    assert legend_columns(["x" * 100, "y"]) == 1
