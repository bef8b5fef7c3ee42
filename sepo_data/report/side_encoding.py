"""Chosen and rejected in charts: a colour and, as not everybody sees colours, a line pattern or a shape of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sepo_data.report.style import BOTH, COLOUR_OF_SIDE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import altair as alt

GAP = "gap"
"""The series of the difference, chosen minus rejected."""

TOGETHER = "together"
"""In the place of a side: both."""

_COLOURS = COLOUR_OF_SIDE | {GAP: BOTH}
_DASHES: dict[str, Sequence[float]] = {"chosen": [1, 0], "rejected": [4, 2], GAP: [1, 1.5]}


def side_colour(*others: str, labels: Mapping[str, str] | None = None) -> alt.Color:
    """The colours of the column `side`, with a legend of short lines.

    Args:
        others: values beside chosen and rejected, such as `GAP`.
        labels: texts of the legend by value; ours alone, for Vega evaluates an expression that holds them.
    """
    import altair as alt

    names = [*COLOUR_OF_SIDE, *others]
    colours = [_COLOURS[name] for name in names]
    return alt.Color("side:N", legend=_legend(labels)).scale(domain=names, range=colours)


def side_dash(*others: str, labels: Mapping[str, str] | None = None) -> alt.StrokeDash:
    """The line patterns of the same values, in the same legend."""
    import altair as alt

    names = [*COLOUR_OF_SIDE, *others]
    dashes = [_DASHES[name] for name in names]
    return alt.StrokeDash("side:N", legend=_legend(labels)).scale(domain=names, range=dashes)


def side_shape() -> Any:  # noqa: ANN401 - a condition of altair
    """The shapes of points of chosen and rejected; they have no legend, as the lines have one."""
    import altair as alt

    return alt.when(alt.datum.side == "chosen").then(alt.ShapeValue("circle")).otherwise(alt.ShapeValue("triangle-up"))


def _legend(labels: Mapping[str, str] | None) -> alt.Legend:
    import altair as alt

    label = f"{json.dumps(labels or {})}[datum.label] || datum.label"
    return alt.Legend(symbolType="stroke", columnPadding=6, symbolOpacity=1, symbolStrokeWidth=1.5, labelExpr=label)
