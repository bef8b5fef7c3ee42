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


def test_figures_of_several_come_last_and_read_all_that_fit(scored, scored_otherwise, selected):
    sources = open_sources([scored, scored_otherwise, selected])
    planned = planned_charts(sources)
    together = [chart for chart in planned if not chart.alone]
    assert planned[-len(together) :] == together
    by_name = {chart.kind.name: chart.sources for chart in together}
    assert by_name["agreement"] == sources
    assert "overlap" not in by_name, "it needs two selections"
    kept = [chart.sources for chart in planned if chart.kind.name == "kept"]
    assert kept == [[sources[2]]]


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
