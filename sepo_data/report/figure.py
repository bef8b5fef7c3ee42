"""A figure: a chart, the numbers that it draws and a caption that names what was computed; and the list of all kinds.

The kinds themselves are in the folder `figures`, one file each. Importing this module and them imports neither Polars
nor altair.
"""

from __future__ import annotations

import inspect
import io
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sepo_data.checked import checked
from sepo_data.errors import SepoError
from sepo_data.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    import polars as pl

    from sepo_data.report.source import Source
    from sepo_data.schemas.stage_names import Stage

PICTURES = {".svg": "svg", ".pdf": "pdf", ".png": "png"}
"""Formats of a picture by suffix."""

PNG_DOTS_PER_INCH = 300

LEAST_ADDRESS_SPACE = 128 << 30
"""Bytes: vl-convert's JavaScript engine reserves more than 64 GiB at once, and ends the process where it cannot."""


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """A finished figure.

    Attributes:
        title: a line, for the report.
        caption: sentences that name the rows, tokens and models, and define what the axes show.
        table: the numbers that are drawn, a row a mark.
        chart: of altair, without a title.
    """

    title: str
    caption: str
    table: pl.DataFrame
    chart: Any

    def picture(self, form: str) -> bytes:
        """The chart as an `svg`, `pdf` or `png` file."""
        return picture_of(self.chart, form)


def picture_of(chart: Any, form: str, *, dots_per_inch: int = PNG_DOTS_PER_INCH) -> bytes:  # noqa: ANN401 - of altair
    """A chart as an `svg`, `pdf` or `png` file; a point is 1/72 inch."""
    if form == "svg":
        text = io.StringIO()
        chart.save(text, format="svg")
        # Numbers without a unit would be 1/96 inch, and the picture smaller than the others.
        return re.sub(
            r' width="([\d.]+)" height="([\d.]+)"', r' width="\1pt" height="\2pt"', text.getvalue(), count=1
        ).encode()
    drawn = io.BytesIO()
    chart.save(drawn, format=form, **({"ppi": dots_per_inch} if form == "png" else {}))
    return drawn.getvalue()


class Draw(Protocol):
    """A function of the folder `figures`."""

    __name__: str
    __module__: str

    def __call__(self, sources: Sequence[Source], /) -> Figure: ...


@dataclass(frozen=True, slots=True)
class FigureKind:
    """A kind of figure: its function, the stages of the directories it reads, and how many it takes."""

    name: str
    draw: Draw
    stages: Collection[Stage]
    least: int
    most: int | None

    @property
    def module(self) -> str:
        return self.draw.__module__

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.draw) or "").partition("\n\n")[0]


FIGURES: Registry[FigureKind] = Registry("sepo_data.report.figures", order=lambda kind: kind.name)
"""Every kind of figure, by its name on the command line."""


def figure(*, stages: Collection[Stage], least: int = 1, most: int | None = 1) -> Callable[[Draw], Draw]:
    """Register a function of the folder `figures`; its docstring is the text in help and docs.

    Args:
        stages: of the directories that it reads.
        least: directories that it needs.
        most: directories that it takes; None for any number.
    """

    def register(draw: Draw) -> Draw:
        FIGURES.add(FigureKind(draw.__name__, draw, stages, least, most))
        return draw

    return register


@checked()
def make_figure(kind: str, folders: Sequence[str | Path], *, verify: bool = True) -> Figure:
    """The figure `kind` of the stage directories `folders`.

    Raises:
        SepoError: there is no such kind, it takes another number of directories or other stages, a directory cannot be
            read (as in `open_sources`), or altair is not installed.
    """
    from sepo_data.console.text import did_you_mean
    from sepo_data.report.source import open_sources

    if kind not in FIGURES:
        names = ", ".join(FIGURES)
        raise SepoError(f"there is no figure {kind!r}", f"{did_you_mean(kind, FIGURES)} They are: {names}".strip())
    entry = FIGURES[kind]
    if len(folders) < entry.least or (entry.most is not None and len(folders) > entry.most):
        most = "or more" if entry.most is None else f"to {entry.most}"
        wanted = str(entry.least) if entry.least == entry.most else f"{entry.least} {most}"
        raise SepoError(
            f"{kind} takes {wanted} director{'y' if wanted == '1' else 'ies'}, not {len(folders)}", entry.summary
        )
    check_library()
    return entry.draw(open_sources(folders, stages=entry.stages, verify=verify))


def check_library() -> None:
    """Raise where the libraries that draw are missing or cannot run.

    Raises:
        SepoError: altair or vl-convert is not installed, or the address space of the process is limited so far that
            vl-convert would end it.
    """
    try:
        import altair  # noqa: F401, ICN001 - only whether it is there
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise SepoError(f"figures need {error.name}, which is not installed", "pip install 'sepo[report]'") from None
    if (limit := _address_space()) < LEAST_ADDRESS_SPACE:
        raise SepoError(
            f"figures need {LEAST_ADDRESS_SPACE >> 30} GiB of address space; this process may use {limit >> 30} GiB",
            "raise the limit: `ulimit -v unlimited`; reserved is no memory used",
        )


def _address_space() -> int:
    """The bytes of address space that this process may use."""
    try:
        import resource
    except ImportError:  # Windows
        return sys.maxsize
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit
