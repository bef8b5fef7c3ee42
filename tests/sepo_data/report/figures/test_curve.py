"""The training curve: panels, marks, numbers and caption."""

import pytest

from sepo_data.errors import SepoError
from sepo_data.report.curve_panels import drawn_panels
from sepo_data.report.figure import make_figure
from sepo_data.report.figures.curve import curve_chart, curve_table


@pytest.fixture(scope="module")
def chart_of():
    """The specification of a run's curve, and a function from the title of a panel to its marks."""

    def make(rows):
        chart = curve_chart(drawn_panels(rows), rows).to_dict()
        by_title = {}
        for panel in chart["concat"]:
            *layers, title = panel["layer"]
            [row] = chart["datasets"][title["data"]["name"]]
            by_title[row["title"]] = (
                panel,
                [(layer["mark"], chart["datasets"][layer["data"]["name"]], layer["encoding"]) for layer in layers],
            )
        return chart["title"]["text"], by_title

    return make


@pytest.fixture(scope="module")
def evaluated(chart_of, run_of):
    """The panels of 12 steps with evaluations."""
    return chart_of(run_of(12))[1]


def test_few_steps_are_points_of_their_own_and_evaluations_are_circles(chart_of, run_of):
    text, panels = chart_of(run_of(4))
    assert text == "4 optimizer steps, 2 epochs  \u00b7  circles: holdout pairs"
    (line, steps, _), (dots, _, _), (dashed, evaluations, _), (circles, _, _) = panels["Loss"][1]
    assert [row["step"] for row in steps] == [1, 2, 3, 4]
    assert dots["filled"]
    assert "opacity" not in line
    assert dashed["strokeDash"]
    assert circles["fill"] == "white"
    assert evaluations[0] == {"step": 0, "value": 0.72, "label": ""}


def test_many_steps_are_faint_behind_their_mean(chart_of, run_of):
    text, panels = chart_of(run_of(200))
    assert text.startswith("200 optimizer steps, 2 epochs")
    assert "faint: every step; line: mean over 11 steps" in text
    (faint, every, _), (mean, means, _), *_ = panels["Loss"][1]
    assert len(every) == len(means) == 200
    assert faint["opacity"] < 0.5
    assert faint["clip"]
    assert mean["clip"], "an outlier is cut off at the panel, a circle at its edge is not"
    assert not any("clip" in mark for mark, *_ in panels["Loss"][1][2:])
    [(_, rates, _)] = panels["Learning rate (1e-6)"][1]
    assert rates[99]["value"] == 5e-7, "half way down a cosine, and not a mean"


def test_one_spike_does_not_flatten_a_panel(chart_of, run_of):
    rows = run_of(1000, evaluated=False)
    rows[17]["loss"] = 1e6
    _, panels = chart_of(rows)
    low, high = panels["Loss"][1][0][2]["y"]["scale"]["domain"]
    assert low < 0.5
    assert high < 10


def test_a_long_run_is_thinned_and_its_table_is_not(chart_of, run_of):
    rows = run_of(3000, evaluated=False)
    _, panels = chart_of(rows)
    assert all(len(points) <= 1000 for _, marks in panels.values() for _, points, _ in marks)
    assert curve_table(drawn_panels(rows)).filter(metric="loss").height == 3000


def test_legends_stand_where_colours_differ(evaluated):
    domains = {title: marks[0][2]["color"] for title, (_, marks) in evaluated.items()}
    assert {title: colour["scale"]["domain"] for title, colour in domains.items() if colour["legend"]} == {
        "Rewards": ["chosen", "rejected"],
        "Accuracy": ["selected tokens", "all tokens"],
    }


def test_only_the_lowest_panels_name_the_axis(chart_of, run_of):
    _, panels = chart_of(run_of(12, evaluated=False))
    named = [title for title, (_, marks) in panels.items() if marks[0][2]["x"]["axis"]["title"]]
    assert list(panels)[-3:] == named == ["Accuracy", "Gradient norm", "Learning rate (1e-7)"]


def test_shares_are_percentages(evaluated):
    labels = {title: marks[0][2]["y"]["axis"].get("labelExpr", "") for title, (_, marks) in evaluated.items()}
    assert [title for title, label in labels.items() if ".0%" in label] == ["Accuracy"]
    assert "1e-7" in labels["Learning rate (1e-7)"]


def test_every_step_is_within_its_panel(chart_of):
    for steps in ([0], [1], [0, 1], [3], [2, 9]):
        _, panels = chart_of([{"step": step, "eval_loss": 1.0} for step in steps])
        left, right = panels["Loss"][1][0][2]["x"]["scale"]["domain"]
        assert left <= steps[0] <= steps[-1] <= right


def test_the_table_has_every_number(trained, tmp_path, run_of):
    rows = run_of(60)
    table = make_figure("curve", [trained(tmp_path / "policy", rows)]).table
    assert table.columns == ["metric", "step", "value", "smoothed"]
    by_metric = {key: dict(part.select("step", "value").rows()) for (key,), part in table.group_by("metric")}
    plain = {}
    for row in rows:
        for key, value in row.items():
            if key not in {"step", "epoch", "eval_length"}:  # these have no panel
                plain.setdefault(key, {})[row["step"]] = value
    assert by_metric == plain
    means = table.filter(metric="loss")["smoothed"].to_list()
    window = [row["loss"] for row in rows if "loss" in row][7:12]
    assert means[9] == pytest.approx(sum(window) / 5)
    assert table.filter(metric="eval_loss")["smoothed"].null_count() == 7
    assert table.filter(metric="learning_rate")["smoothed"].null_count() == 60


def test_the_caption_says_what_is_drawn(trained, tmp_path, run_of):
    caption = make_figure("curve", [trained(tmp_path / "policy")]).caption
    assert caption.startswith("policy: training curve of `sepo train` from tiny on 24 pairs. 4 optimizer steps")
    assert "Circles: holdout pairs." in caption
    assert "accuracy: share of pairs" in caption
    assert "outside" not in caption
    rows = run_of(300, evaluated=False)
    caption = make_figure("curve", [trained(tmp_path / "later", rows, complete=False)]).caption
    assert "from tiny, so far: unfinished directory." in caption
    assert "mean over 15 steps" in caption
    assert "0.5% of the steps" in caption
    assert "KL" not in caption, "it has no panel"
    assert "all tokens" not in caption, "it has no line"
    assert "selected" not in caption, "the loss of an oracle is over all tokens"


def test_a_hostile_name_is_spelt_out(trained, tmp_path):
    folder = trained(tmp_path / "a\x1b[2J\u202eb", model="evil\x1b]0;\nmodel")
    figure = make_figure("curve", [folder])
    assert not {"\x1b", "\u202e", "\n"} & set(figure.caption)


@pytest.mark.parametrize(
    ("lines", "complete", "message"),
    [
        (None, True, "does not exist"),
        (None, False, "does not exist"),
        ("", False, "has no number to draw"),
        ('{"step": 1, "loss"', True, "has no number to draw"),
    ],
)
def test_a_run_without_numbers(trained, tmp_path, lines, complete, message):
    folder = trained(tmp_path / "policy", complete=complete)
    (folder / "metrics.jsonl").unlink()
    if lines is not None:
        (folder / "metrics.jsonl").write_text(lines, encoding="utf-8")
    with pytest.raises(SepoError, match=message) as raised:
        make_figure("curve", [folder])
    hint = "give a directory that has it" if complete else "it is written from the first step on"
    assert raised.value.hint == hint


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "form"), [(1, "svg"), (2, "pdf"), (51, "png")])
def test_every_length_and_format_is_drawn(trained, tmp_path, run_of, steps, form):
    picture = make_figure("curve", [trained(tmp_path / "policy", run_of(steps), stage="oracle")]).picture(form)
    assert picture.startswith({"svg": b"<svg", "pdf": b"%PDF", "png": b"\x89PNG"}[form])


def test_constant_and_extreme_values_are_drawn(chart_of):
    rows = [{"step": step, "loss": 0.0, "grad_norm": 1e30, "learning_rate": 1e-30} for step in (1, 2, 3)]
    _, panels = chart_of(rows)
    assert list(panels) == ["Loss", "Gradient norm (1e30)", "Learning rate (1e-30)"]
    for _, marks in panels.values():
        low, high = marks[0][2]["y"]["scale"]["domain"]
        assert low < high
