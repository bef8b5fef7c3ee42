"""`sepo plot`: one figure for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from sepo_data.commands.grouped_help import OUTPUT
from sepo_data.commands.options import AsJson, NoVerify, Quiet, argument, option, parse_location
from sepo_data.commands.session import session
from sepo_data.console.output import print_json, print_values

EXAMPLES = (
    "sepo plot accumulation rewards/ --out accumulation.pdf",
    "sepo plot agreement rewards_small/ rewards_large/ --out agreement.svg",
    "sepo plot curve policy/ --out curve.png",
)

NO_FIGURE = "the picture was not written"


def figure_rows() -> list[tuple[str, str]]:
    """Every kind of figure with its summary, for help."""
    from sepo_data.report.figure import FIGURES

    return [(name, entry.summary) for name, entry in FIGURES.items()]


def complete_kind(incomplete: str) -> list[tuple[str, str]]:
    """List the kinds of figures that begin with `incomplete`, each with its summary."""
    return [(name, summary) for name, summary in figure_rows() if name.startswith(incomplete)]


SECTIONS = {"Figures": figure_rows}


def run(
    kind: Annotated[str, argument("KIND", autocompletion=complete_kind, help="one of the figures below")],
    directories: Annotated[
        list[Path], argument("DIR...", parser=parse_location, help="stage directories, as many as the figure takes")
    ],
    out: Annotated[
        Path, option(OUTPUT, "--out", metavar="FILE", help="picture to write: FILE.pdf, FILE.svg or FILE.png")
    ],
    overwrite: Annotated[bool, option(OUTPUT, "--overwrite", help="replace the files that exist")] = False,
    no_verify: NoVerify = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw one figure of stage directories, sized for a paper.

    Beside the picture FILE.pdf stand its numbers, FILE.csv, and a caption that defines what they are, FILE.txt. An
    unfinished directory is drawn as far as it is.
    """
    with session(quiet=quiet, no_progress=True, after_interrupt=NO_FIGURE) as terminal:
        from sepo_data.report.figure_files import write_figure

        made = write_figure(kind, directories, out, overwrite=overwrite, verify=not no_verify)
        if not json:
            terminal.note(made.caption)
    if not json:
        print_values([made.picture])
        return
    files = {"picture": made.picture, "numbers": made.numbers, "text": made.text}
    print_json(
        {"kind": kind, "title": made.title, "caption": made.caption, "rows": made.rows}
        | {name: str(path) for name, path in files.items()}
    )
