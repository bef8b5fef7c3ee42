"""The picture of the training curve in a model directory, which the model card shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.report.figure import check_library, picture_of
from sepo_data.storage.atomic import atomic_write

if TYPE_CHECKING:
    from pathlib import Path

CURVE = "curve.png"

DOTS_PER_INCH = 144
"""Of a screen, twice; in print `sepo plot curve` is sharper."""


def draw_curve(metrics: Path, picture: Path) -> bool:
    """Draw `metrics.jsonl` as the PNG file `picture`; a metric that no line has gets no panel.

    Returns:
        True if a picture was written: none is without a number to draw.

    Raises:
        SepoError: the libraries that draw are missing or cannot run.
    """
    from sepo_data.report.curve_panels import drawn_panels
    from sepo_data.report.figures.curve import curve_chart
    from sepo_data.report.metrics_log import read_metrics

    check_library()
    rows = read_metrics(metrics)
    if not (panels := drawn_panels(rows)):
        return False
    drawn = picture_of(curve_chart(panels, rows), "png", dots_per_inch=DOTS_PER_INCH)
    with atomic_write(picture) as file:
        file.write(drawn)
    return True
