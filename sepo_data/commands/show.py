"""`sepo show`: the tokens of one pair, coloured by reward."""

from __future__ import annotations

import io
from json import dumps
from pathlib import Path
from typing import Annotated

from sepo_data.commands.grouped_help import INPUT, OUTPUT, SELECTION
from sepo_data.commands.options import AsJson, StageDir, option, parse_share

EXAMPLES = (
    "sepo show selection/ --pair 3",
    "sepo show rewards/ --pair 3 --chosen 10% --rejected 10% --svg pair.svg",
)


def run(
    directory: StageDir,
    pair: Annotated[str, option(INPUT, metavar="PAIR", help="number of the pair, from 0, or its pair_id")] = "0",
    chosen: Annotated[
        int,
        option(
            SELECTION,
            parser=parse_share,
            metavar="SHARE",
            help="share of the highest rewards to mark in a rewards directory",
        ),
    ] = "30%",  # type: ignore[assignment]
    rejected: Annotated[
        int,
        option(
            SELECTION,
            parser=parse_share,
            metavar="SHARE",
            help="share of the lowest rewards to mark in a rewards directory",
        ),
    ] = "30%",  # type: ignore[assignment]
    svg: Annotated[Path | None, option(OUTPUT, metavar="FILE", help="write the picture to this file as well")] = None,
    json: AsJson = False,
) -> None:
    """Show the tokens of one pair, coloured by reward.

    Selected tokens are underlined; without colours they stand in [brackets].
    """
    from dataclasses import asdict

    from rich.console import Console

    from sepo_data.analysis.show import read_pair, render_pair
    from sepo_data.storage.atomic import write_text

    shown = read_pair(directory, pair, chosen=chosen, rejected=rejected)
    if svg is not None:
        drawing = Console(record=True, width=100, file=io.StringIO(), color_system="truecolor", no_color=False)
        drawing.print(render_pair(shown, colour=True))
        write_text(svg, drawing.export_svg(title=f"sepo show --pair {pair}"))
    if json:
        print(dumps(asdict(shown)))
        return
    console = Console(highlight=False)
    console.print(render_pair(shown, colour=console.color_system is not None and not console.no_color))
