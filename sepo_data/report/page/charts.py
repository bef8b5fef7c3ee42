"""The charts of the page: every figure that its directories allow, with its caption and its numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sepo_data.console.text import shortened
from sepo_data.errors import SepoError
from sepo_data.report.figure import FIGURES
from sepo_data.report.page.markup import escaped
from sepo_data.report.page.svg import inline_svg
from sepo_data.report.shared_rewards import holders
from sepo_data.schemas.stage_names import Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from sepo_data.report.figure import Figure, FigureKind
    from sepo_data.report.source import Source

ORDER = ("distribution", "accumulation", "position", "classes", "tokens", "accuracy", "kept")
"""Figures of one directory, as they are read; others follow by name."""

MOST_ROWS, LONGEST_CELL = 100, 100
"""Rows of a figure's table, and characters of a text in it; the table says what is left out."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure to draw of some of the directories."""

    kind: FigureKind
    sources: Sequence[Source]

    @property
    def alone(self) -> bool:
        """Of a figure that can show one directory: it is drawn of each."""
        return self.kind.least == 1


def planned_charts(sources: Sequence[Source]) -> list[Chart]:
    """The figures that the directories allow: those of each directory, then those of several.

    A figure of rewards is drawn of the `holders` alone, so once of the same rewards, and never compares them with
    themselves; one of selections is drawn of every selection.
    """
    places = {name: place for place, name in enumerate(ORDER)}
    kinds = sorted(FIGURES.values(), key=lambda kind: (places.get(kind.name, len(places)), kind.name))
    distinct = set(holders(sources))
    fitting = [
        (
            kind,
            [
                source
                for number, source in enumerate(sources)
                if source.manifest.stage in kind.stages and (number in distinct or Stage.REWARDS not in kind.stages)
            ],
        )
        for kind in kinds
    ]
    alone = [
        Chart(kind, [source])
        for source in sources
        for kind, found in fitting
        if kind.least == 1 and any(one is source for one in found)
    ]
    return alone + [
        Chart(kind, found)
        for kind, found in fitting
        if kind.least > 1 and len(found) >= kind.least and (kind.most is None or len(found) <= kind.most)
    ]


@dataclass(frozen=True, slots=True, eq=False)
class DrawnChart:
    """The HTML of a chart and its numbers, or the reason why it is left out."""

    chart: Chart
    html: str = ""
    table: pl.DataFrame | None = None
    reason: str = ""


def draw_chart(chart: Chart, number: int, level: int) -> DrawnChart:
    """The `<figure>` of a chart with a heading of this level; `number` tells its ids from those of other charts."""
    try:
        figure = chart.kind.draw(chart.sources)
    except SepoError as error:
        return DrawnChart(chart, reason=error.message)
    return DrawnChart(chart, _figure_html(figure, f"chart-{number}", chart.kind.name, level), figure.table)


def charts_of(drawn: Sequence[DrawnChart], source: Source) -> list[DrawnChart]:
    """The charts of this directory alone."""
    return [one for one in drawn if one.chart.alone and one.chart.sources[0] is source]


def charts_html(drawn: Sequence[DrawnChart], sources: Sequence[Source]) -> str:
    """The charts, directory by directory, then those of several; those that are left out with their reasons."""
    if len(sources) == 1:
        return _group_html("", drawn)
    groups = [
        *((source.name, charts_of(drawn, source)) for source in sources),
        ("The directories together", [one for one in drawn if not one.chart.alone]),
    ]
    return "".join(_group_html(title, charts) for title, charts in groups if charts)


def _group_html(title: str, charts: Sequence[DrawnChart]) -> str:
    heading = f"<h3>{escaped(title)}</h3>" if title else ""
    missing = "".join(
        f"<li>No chart {escaped(one.chart.kind.name)}: {escaped(one.reason)}.</li>" for one in charts if one.reason
    )
    made = "".join(one.html for one in charts)
    return (
        heading
        + (f'<div class="charts">{made}</div>' if made else "")
        + (f'<ul class="missing">{missing}</ul>' if missing else "")
    )


def _figure_html(figure: Figure, prefix: str, name: str, level: int) -> str:
    picture = inline_svg(figure.picture("svg").decode(), prefix, figure.title)
    return (
        f'<figure id="{prefix}" data-figure="{escaped(name)}"><h{level}>{escaped(figure.title)}</h{level}>{picture}'
        f"<figcaption>{escaped(figure.caption)}</figcaption>{_table_html(figure.table, figure.title)}</figure>"
    )


def _table_html(table: pl.DataFrame, title: str) -> str:
    rows = table.head(MOST_ROWS)
    first = f", the first {rows.height:,} of {table.height:,} rows" if rows.height < table.height else ""
    left = [' class="left"' if dtype == "String" else "" for dtype in map(str, table.dtypes)]
    head = "".join(
        f'<th scope="col"{place}>{escaped(name.replace("_", " "))}</th>'
        for name, place in zip(table.columns, left, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(f'<td{place}>{_cell(value)}</td>' for value, place in zip(row, left, strict=True))}</tr>"
        for row in rows.iter_rows()
    )
    return (
        f'<details><summary>Numbers</summary><div class="scroll" tabindex="0" role="region" '
        f'aria-label="Numbers of {escaped(title)}"><table><caption>{escaped(title)}{first}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return re.sub("^-", "\N{MINUS SIGN}", f"{value:.6g}")
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return escaped(shortened(str(value), LONGEST_CELL))
