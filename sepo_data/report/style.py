"""Colours and sizes of the figures: one look for papers and for the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from altair import Chart

CHOSEN, REJECTED, BOTH, NEUTRAL = "#0072b2", "#d55e00", "#009e73", "#444444"
"""Colours that can be told apart without red and green (Okabe and Ito), on white and on black."""

COLOUR_OF_SIDE = {"chosen": CHOSEN, "rejected": REJECTED}
SERIES = (CHOSEN, REJECTED, BOTH, "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", NEUTRAL)
"""Colours of directories, in the order that they were given."""

DARK_BLUES = 0.735
"""Place on the scale `blues`, 0 to 1, above which numbers are white: there, black and white have a contrast of 4.5."""

WIDTH, HEIGHT = 190, 135
"""Points of the plotting area: with axes and labels the figure is a column of a paper wide (3.3 inches, 238 points)."""

MOST_LEVEL = 6
"""Bins of lengths or positions whose labels fit beside one another."""

FONT = "Helvetica, Arial, sans-serif"


def styled(chart: Chart) -> Chart:
    """The finished chart with the fonts, grid lines and margins of every figure."""
    finished: Chart = (
        chart.configure(font=FONT, background="white", padding=4)
        .configure_view(strokeWidth=0)
        .configure_axis(
            labelFontSize=8,
            titleFontSize=9,
            titleFontWeight="normal",
            gridColor="#e6e6e6",
            domainColor="#888888",
            tickColor="#888888",
            tickSize=3,
            labelLimit=120,
            labelSeparation=3,
        )
        .configure_legend(
            labelFontSize=8, titleFontSize=8, orient="top", title=None, offset=6, symbolSize=60, labelLimit=160
        )
        .configure_header(labelFontSize=9, titleFontSize=9, title=None)
        .configure_title(fontSize=10, anchor="start")
    )
    return finished
