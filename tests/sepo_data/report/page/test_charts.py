"""The charts of the page: which ones, in which order, with which numbers."""

import polars as pl

from sepo_data.report.figure import FIGURES, Figure
from sepo_data.report.page import charts
from sepo_data.report.page.charts import ORDER, draw_chart, planned_charts
from sepo_data.report.source import open_sources
from sepo_data.schemas.stages import Stage


def test_figures_of_one_directory_come_in_reading_order(drawn):
    planned = planned_charts([drawn.source])
    names = [chart.kind.name for chart in planned]
    known = [name for name in names if name in ORDER]
    assert known == [name for name in ORDER if Stage.REWARDS in FIGURES[name].stages]
    assert names[len(known) :] == sorted(names[len(known) :])
    assert all(chart.sources == [drawn.source] for chart in planned)


def names(charts) -> dict[str, list[list[str]]]:
    """The names of the directories of each chart, by the chart's."""
    found = {}
    for chart in charts:
        found.setdefault(chart.kind.name, []).append([source.name for source in chart.sources])
    return found


def test_figures_of_several_come_last_and_read_each_rewards_once(scored, scored_otherwise, selected):
    folders = [scored, scored_otherwise, selected, selected.with_name("half"), selected]
    planned = planned_charts(open_sources(folders))
    together = [chart for chart in planned if not chart.alone]
    assert planned[-len(together) :] == together
    of_several = names(together)
    assert of_several["agreement"] == of_several["fractions"] == [["rewards", "rewards_otherwise"]]
    assert of_several["overlap"] == [["selection (1)", "half", "selection (2)"]]
    of_each = names(chart for chart in planned if chart.alone)
    assert of_each["distribution"] == of_each["grid"] == [["rewards"], ["rewards_otherwise"]]
    assert of_each["kept"] == [["selection (1)"], ["half"], ["selection (2)"]]


def test_two_selections_of_the_same_rewards_have_their_charts_once_and_no_agreement(selected):
    planned = names(planned_charts(open_sources([selected, selected])))
    assert planned["distribution"] == [["selection (1)"]]
    assert planned["kept"] == [["selection (1)"], ["selection (2)"]]
    assert planned["overlap"] == [["selection (1)", "selection (2)"]]
    assert not {"agreement", "fractions"} & set(planned)


def test_a_text_of_a_table_is_cut():
    assert charts._cell("x" * 10**6) == f"{'x' * 100}... (1,000,000 characters)"
    assert charts._cell("<" * 100) == "&lt;" * 100


def test_a_table_is_cut_and_says_so(drawn, monkeypatch):
    table = pl.DataFrame({"token": ["<b>\u202e"] * 150, "mean_reward": [-0.5] * 150, "tokens": [1234] * 150})
    [chart] = [chart for chart in planned_charts([drawn.source]) if chart.kind.name == "distribution"]
    picture = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"></svg>'
    monkeypatch.setattr(Figure, "picture", lambda *_: picture)
    kind = type("Kind", (), {"name": "tokens", "draw": lambda _: Figure("T & t", "c < d", table, None)})
    made = draw_chart(charts.Chart(kind, chart.sources), 3, 4).html
    assert "<caption>T &amp; t, the first 100 of 150 rows</caption>" in made
    assert made.count("<tr>") == 101
    cells = '<td class="left">&lt;b&gt;\\u202e</td><td>\u22120.5</td><td>1,234</td>'
    assert cells in made
    assert '<th scope="col" class="left">token</th><th scope="col">mean reward</th>' in made
    assert '<figure id="chart-3" data-figure="tokens"><h4>T &amp; t</h4>' in made
    assert "<figcaption>c &lt; d</figcaption>" in made
