"""`write_report`: rewards and selection directories as one HTML file that needs nothing else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sepo_data.analysis.output_file import format_of, new_file
from sepo_data.checked import at_least, checked
from sepo_data.console.progress import SILENT
from sepo_data.report.figure import check_library
from sepo_data.report.page.charts import draw_chart, planned_charts
from sepo_data.report.page.contents import Contents
from sepo_data.report.pairs.encode import Encoder
from sepo_data.report.pairs.fit import fit_pairs
from sepo_data.report.pairs.sample import find_places
from sepo_data.report.source import open_sources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sepo_data.console.progress import Progress


LARGEST = 4_900_000
"""Bytes of a report: people mail it."""

PAGES = {".html": "html"}
"""Formats of a report by suffix."""


@dataclass(frozen=True, slots=True)
class Report:
    """A written report.

    Attributes:
        path: of the file.
        bytes: its size.
        pairs: in the directories; of several, those that all of them have.
        shown: pairs that the file has token by token.
        figures: names of the charts, in order.
        seconds: that the report took.
    """

    path: Path
    bytes: int
    pairs: int
    shown: int
    figures: Sequence[str]
    seconds: float


@checked(pairs=at_least(1))
def write_report(
    folders: Sequence[str | Path],
    out: str | Path,
    *,
    pairs: int = 500,
    overwrite: bool = False,
    verify: bool = True,
    progress: Progress = SILENT,
) -> Report:
    """Write the report of rewards and selection directories to the file `out`.

    Statistics are of everything; `pairs` and `LARGEST` bound what can be browsed token by token. In memory are one
    shard and what the page shows.

    Args:
        folders: of one tokenizer; several are compared.
        out: the file.
        pairs: to browse, at most.
        overwrite: replace `out`.
        verify: compare the hash of each shard with the manifest, once until the file changes.
        progress: receives a note on each unfinished directory, and a step for each chart.

    Raises:
        SepoError: `out` does not end in .html; a directory cannot be read, holds another stage, or has another
            tokenizer; several share no pair; or the libraries of `sepo[report]` are not installed.
        RefusedError: `out` exists and `overwrite` is not given.
    """
    started = time.monotonic()
    check_library()
    out = Path(out)
    format_of(out, PAGES)
    with new_file(out, overwrite=overwrite) as file:
        sources = open_sources(folders, verify=verify)
        for source in sources:
            if not source.complete:
                progress.note(f"{source.folder} is unfinished: {source.manifest.rows:,} pairs so far")
        places = find_places(sources)
        planned, drawn = planned_charts(sources), []
        for number, chart in enumerate(planned):
            drawn.append(draw_chart(chart, number, level=4 if len(sources) > 1 else 3))
            progress.step(number + 1, len(planned) + 1, f"chart {chart.kind.name}")
        page = Contents(sources, drawn, total=len(places))
        browsed, shown = fit_pairs(Encoder(sources), places, pairs, LARGEST - len(page.html({}, 0)))
        text = page.html(browsed, shown)
        file.write(text)
        progress.step(len(planned) + 1, len(planned) + 1, f"{shown:,} pairs")
    names = tuple(dict.fromkeys(one.chart.kind.name for one in drawn if one.html))
    return Report(out, len(text), len(places), shown, names, time.monotonic() - started)
