"""`sepo show`: the tokens of one pair, coloured by reward."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated

from sepo_data.commands.grouped_help import INPUT, OUTPUT, SELECTION
from sepo_data.commands.options import AsJson, NoVerify, StageDir, option, parse_share
from sepo_data.console.output import print_json
from sepo_data.console.streams import below
from sepo_data.console.text import spelt_out

EXAMPLES = (
    "sepo show selection/ --pair 3",
    "sepo show rewards/ --pair 3 --chosen 10% --rejected 10% --svg pair.svg",
)

PICTURES = {".svg": "svg"}
"""Formats of --svg by suffix."""


def run(
    directory: StageDir,
    pair: Annotated[str, option(INPUT, metavar="PAIR", help="number of the pair, from 0, or its pair_id")] = "0",
    chosen: Annotated[
        str,
        option(
            SELECTION,
            parser=parse_share,
            metavar="SHARE",
            help="share of the highest rewards to mark in a rewards directory",
        ),
    ] = "30%",
    rejected: Annotated[
        str,
        option(
            SELECTION,
            parser=parse_share,
            metavar="SHARE",
            help="share of the lowest rewards to mark in a rewards directory",
        ),
    ] = "30%",
    svg: Annotated[
        Path | None, option(OUTPUT, metavar="FILE", help="write the picture to this file, FILE.svg, as well")
    ] = None,
    overwrite: Annotated[bool, option(OUTPUT, "--overwrite", help="replace the file in --svg")] = False,
    no_verify: NoVerify = False,
    json: AsJson = False,
) -> None:
    """Show the tokens of one pair, coloured by reward.

    Selected tokens are underlined; without colours they stand in [brackets].
    """
    from dataclasses import asdict

    from rich.console import Console

    from sepo_data.analysis.output_file import format_of, new_file
    from sepo_data.analysis.show import read_pair, render_pair

    if svg is not None:
        format_of(svg, PICTURES)
    shown = read_pair(directory, pair, chosen=chosen, rejected=rejected, verify=not no_verify)
    if svg is not None:
        drawing = Console(record=True, width=100, file=io.StringIO(), color_system="truecolor", no_color=False)
        drawing.print(render_pair(shown, colour=True))
        with new_file(svg, overwrite=overwrite, option="--svg") as file:
            file.write(drawing.export_svg(title=spelt_out(f"sepo show --pair {pair}")).encode())
    if json:
        print_json(asdict(shown))
        return
    console = Console(file=below(sys.stdout), highlight=False)  # its text is escaped; its colours are ours
    colour = console.color_system is not None and not console.no_color
    if not colour:  # NO_COLOR leaves bold letters
        console = Console(file=below(sys.stdout), highlight=False, color_system=None)
    console.print(render_pair(shown, colour=colour))
