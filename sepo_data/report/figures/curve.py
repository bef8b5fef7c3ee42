"""The training curve: `metrics.jsonl` as small multiples, one panel for each metric."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sepo_data.errors import SepoError
from sepo_data.report.figure import Figure, figure
from sepo_data.report.labels import whole_ticks
from sepo_data.report.style import styled
from sepo_data.schemas.folder import COMMANDS
from sepo_data.schemas.stage_names import Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    import polars as pl
    from altair import FacetChart, LayerChart, X
    from numpy.typing import NDArray
    from pydantic import JsonValue

    from sepo_data.report.curve_panels import Drawn, Panel
    from sepo_data.report.metrics_log import Values
    from sepo_data.report.source import Source

COLUMNS = 3
WIDTH, HEIGHT = 118, 82
"""Points of a panel: three side by side are a page of a paper wide."""

LEGEND_LINE = 11
"""Points between a panel and its title, in a row of panels where one has a legend."""


@figure(stages={Stage.ORACLE, Stage.POLICY})
def curve(sources: Sequence[Source]) -> Figure:
    """Training curve of an oracle or a policy: loss, rewards, accuracy, gradient norm by step; holdout pairs."""
    from sepo_data.report.curve_panels import drawn_panels
    from sepo_data.report.metrics_log import METRICS, read_metrics

    [source] = sources
    log = source.folder / METRICS
    rows = read_metrics(log)
    panels = drawn_panels(rows)
    if not panels:
        reason = "has no number to draw" if log.exists() else "does not exist"
        begun = "it is written from the first step on" if not source.complete else "give a directory that has it"
        raise SepoError(f"{log} {reason}", begun)
    return Figure(
        title="Training curve",
        caption=_caption(source, panels, rows),
        table=curve_table(panels),
        chart=curve_chart(panels, rows),
    )


def curve_table(panels: dict[Panel, list[Drawn]]) -> pl.DataFrame:
    """The numbers of the curve: `metric`, `step`, `value`, and `smoothed` where the line is a mean over steps."""
    import polars as pl

    parts = [
        pl.DataFrame(
            {
                "metric": [drawn.line.key] * len(drawn.steps),
                "step": drawn.steps.astype(int),
                "value": drawn.values,
                "smoothed": pl.Series(drawn.means, dtype=pl.Float64)
                if drawn.means is not None
                else pl.Series([None] * len(drawn.steps), dtype=pl.Float64),
            }
        )
        for lines in panels.values()
        for drawn in lines
    ]
    return pl.concat(parts)


def curve_chart(panels: dict[Panel, list[Drawn]], rows: Sequence[dict[str, Any]]) -> Any:  # noqa: ANN401 - of altair
    """The panels, three side by side, under a line that has the length of the run and the meaning of the marks."""
    import altair as alt

    drawn = [step for lines in panels.values() for line in lines for step in (line.steps[0], line.steps[-1])]
    first, last = float(min(drawn)), float(max(drawn))
    bottom = len(panels) - min(COLUMNS, len(panels))
    legends = [len(_colours(lines)) > 1 for lines in panels.values()]
    charts = [
        _panel(
            panel,
            lines,
            alt.X(
                "step:Q",
                scale=alt.Scale(domain=[0.5 if first == last > 0 else 0, 1.02 * last or 1], nice=False),
                axis=alt.Axis(
                    title="optimizer step" if at >= bottom else None, format=",d", values=whole_ticks(int(last))
                ),
            ),
            above=LEGEND_LINE * any(legends[at - at % COLUMNS : at - at % COLUMNS + COLUMNS]),
        )
        for at, (panel, lines) in enumerate(panels.items())
    ]
    heading = alt.TitleParams(
        "  \u00b7  ".join(_notes(panels, rows)), fontSize=8, fontWeight="normal", color="#555555", offset=8
    )
    panes = alt.concat(*charts, columns=COLUMNS, spacing={"row": 10, "column": 12}, title=heading)
    return styled(panes.resolve_scale(color="independent"))


def _panel(panel: Panel, lines: Sequence[Drawn], x: X, *, above: int) -> LayerChart | FacetChart:
    """The lines of a panel under its title, with `above` points between them, of a legend or empty."""
    import altair as alt
    import polars as pl

    low, high = min(drawn.limits()[0] for drawn in lines), max(drawn.limits()[1] for drawn in lines)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 0.1
    power = 0 if panel.share else _power(max(abs(low), abs(high)))
    y = alt.Y(
        "value:Q",
        scale=alt.Scale(domain=[low - room, high + room], nice=False, zero=False),
        axis=alt.Axis(title=None, tickCount=5, **_labels(power, share=panel.share)),
    )
    colours = _colours(lines)
    legend = alt.Legend(
        orient="none", direction="horizontal", legendX=0, legendY=-LEGEND_LINE, symbolType="circle", symbolSize=24,
        symbolOpacity=1, symbolStrokeWidth=1.2, columnPadding=8, padding=0,
    )  # fmt: skip
    colour = alt.Color(
        "label:N",
        scale=alt.Scale(domain=list(colours), range=list(colours.values())),
        legend=legend if len(colours) > 1 else None,
        title=None,
    )
    layers = [layer.encode(x=x, y=y, color=colour) for drawn in lines for layer in _layers(drawn)]
    # A title of the chart would stand higher where a label of the axis does.
    title = alt.Chart(pl.DataFrame({"title": [f"{panel.title} (1e{power})" if power else panel.title]})).mark_text(
        align="left", baseline="bottom", fontSize=9, fontWeight="bold", color="black"
    )
    layers.append(title.encode(text="title:N", x=alt.value(0), y=alt.value(-above - 5)))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)


def _colours(lines: Sequence[Drawn]) -> dict[str, str]:
    """The colour of each label of a panel."""
    return {drawn.line.label: drawn.line.colour for drawn in lines}


def _layers(drawn: Drawn) -> Iterable[Any]:
    """The marks of a line: a circle an evaluation, a point a step of few; of many, a mean over the values, faint."""
    from sepo_data.report.metrics_log import evenly, thinned

    values, every = drawn.values, thinned(drawn.values)
    if drawn.line.is_eval:
        circles = _data(drawn, values, every).mark_point(size=20, fill="white", strokeWidth=1.2, opacity=1)
        return [_data(drawn, values, every).mark_line(strokeJoin="round", strokeWidth=0.8, strokeDash=[3, 2]), circles]
    if drawn.means is not None:
        mean = _data(drawn, drawn.means, evenly(len(values))).mark_line(strokeJoin="round", strokeWidth=1.5, clip=True)
        return [
            _data(drawn, values, every).mark_line(strokeJoin="round", strokeWidth=0.5, opacity=0.25, clip=True),
            mean,
        ]
    if drawn.many:
        return [_data(drawn, values, every).mark_line(strokeJoin="round", strokeWidth=1.5, clip=True)]
    dots = _data(drawn, values, every).mark_point(filled=True, size=9, opacity=1)
    return [_data(drawn, values, every).mark_line(strokeJoin="round", strokeWidth=1.2), dots]


def _data(drawn: Drawn, values: Values, places: NDArray[np.int64]) -> Any:  # noqa: ANN401 - a chart without marks
    import altair as alt
    import polars as pl

    kept = {"step": drawn.steps[places], "value": values[places], "label": [drawn.line.label] * len(places)}
    return alt.Chart(pl.DataFrame(kept))


def _labels(power: int, *, share: bool) -> dict[str, Any]:
    """The options of a vertical axis whose values are shares, or are written in units of 10^`power`."""
    if share:  # there is room above 100%, but no such share
        return {"labelExpr": "datum.value >= 0 && datum.value <= 1 ? format(datum.value, '.0%') : ''"}
    return {"labelExpr": f"format(datum.value / 1e{power}, '~r')"} if power else {}


def _power(size: float) -> int:
    """The power of ten to write values up to `size` with; 0 for those that are readable without one."""
    power = math.floor(math.log10(1.01 * size)) if size else 0  # the highest of many steps may stick out
    return 0 if -3 <= power <= 4 else power  # noqa: PLR2004 - 0.001 to 99,999


def _notes(panels: dict[Panel, list[Drawn]], rows: Sequence[dict[str, Any]]) -> list[str]:
    """The length of the run and the meaning of the marks."""
    from sepo_data.report.metrics_log import points, smoothing_window

    steps = int(max(row["step"] for row in rows))
    epochs = points(rows, "epoch")[1]
    length = f"{steps:,} optimizer step{'s' if steps != 1 else ''}"
    if len(epochs):
        length += f", {epochs.max():.3g} epoch{'s' if epochs.max() > 1 else ''}"
    notes, lines = [length], [drawn for lines in panels.values() for drawn in lines]
    if windows := [smoothing_window(len(drawn.steps)) for drawn in lines if drawn.means is not None]:
        notes.append(f"faint: every step; line: mean over {max(windows)} steps")
    if any(drawn.line.is_eval for drawn in lines):
        notes.append("circles: holdout pairs")
    return notes


def _caption(source: Source, panels: dict[Panel, list[Drawn]], rows: Sequence[dict[str, Any]]) -> str:
    from sepo_data.report.caption import model_name, plain
    from sepo_data.report.curve_panels import OUTLIERS

    manifest = source.manifest
    models = ", ".join(sorted({model_name(model) for model in manifest.models.values()}))
    pairs: JsonValue = manifest.results.get("pairs", manifest.results.get("pairs_seen"))
    meanings = [
        meaning
        for panel, lines in panels.items()
        for meaning in (panel.meaning, *(drawn.line.meaning for drawn in lines if drawn.line.meaning))
    ]
    sentences = [
        f"{plain(source.name)}: training curve of `sepo {COMMANDS[manifest.stage]}`"
        + (f" from {models}" if models else "")
        + (f" on {pairs:,} pairs" if isinstance(pairs, int) else "")
        + (", so far: unfinished directory" if not source.complete else "")
        + ".",
        *(f"{note[:1].upper()}{note[1:]}." for note in _notes(panels, rows)),
        f"Panels: {'; '.join(meanings)}.",
    ]
    if any(drawn.means is not None for lines in panels.values() for drawn in lines):
        sentences.append(f"Up to {OUTLIERS:g}% of the steps at either end of a metric may lie outside of its panel.")
    return " ".join(sentences)
