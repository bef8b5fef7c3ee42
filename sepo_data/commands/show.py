"""`sepo show`: pairs token by token, coloured by reward; paged through on a terminal."""

from __future__ import annotations

import io
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sepo_data.analysis.show.sorts import Sort
from sepo_data.commands.grouped_help import INPUT, OUTPUT, SELECTION
from sepo_data.commands.options import AsJson, NoVerify, argument, option, parse_location, parse_share
from sepo_data.console.output import on_terminal, print_json, print_notes
from sepo_data.console.streams import below
from sepo_data.console.text import spelt_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from sepo_data.analysis.show.pair import ShownPair
    from sepo_data.analysis.show.pairs import Pairs
    from sepo_data.analysis.show.render import Colours

EXAMPLES = (
    "sepo show selection/",
    'sepo show rewards/ --sort margin --where "NOT oracle_seen" --limit 3',
    "sepo show rewards_small/ rewards_large/ --sort disagreement",
    "sepo show rewards/ --pair 3 --chosen 10% --rejected 10% --svg pair.svg",
)

PICTURES = {".svg": "svg"}
"""Formats of --svg by suffix."""


def run(
    directory: Annotated[
        Path,
        argument("DIR", parser=parse_location, help="a directory that `sepo score` or `sepo select` wrote"),
    ],
    other: Annotated[
        Path | None, argument("DIR", parser=parse_location, help="another one, to see the same pairs beside it")
    ] = None,
    pair: Annotated[
        str | None, option(INPUT, metavar="PAIR", help="begin with this pair: its number, from 0, or its pair_id")
    ] = None,
    sort: Annotated[
        Sort, option(INPUT, help="order of the pairs; of two directories, by the values of the first")
    ] = "row",
    descending: Annotated[
        bool | None,
        option(
            INPUT,
            "--descending/--ascending",
            help="the highest or the lowest first; by default rows and margins ascend, the others descend",
        ),
    ] = None,
    find: Annotated[
        str, option(INPUT, metavar="TEXT", help="only pairs with this text in the prompt or a response")
    ] = "",
    where: Annotated[
        str | None, option(INPUT, metavar="SQL", help="only pairs that meet a condition over the columns of `pairs`")
    ] = None,
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
    limit: Annotated[
        int | None, option(OUTPUT, min=1, help="print N pairs and end; 1 where there is no terminal to page in")
    ] = None,
    svg: Annotated[
        Path | None, option(OUTPUT, metavar="FILE", help="write the picture to this file, FILE.svg, as well")
    ] = None,
    overwrite: Annotated[bool, option(OUTPUT, "--overwrite", help="replace the file in --svg")] = False,
    no_verify: NoVerify = False,
    json: AsJson = False,
) -> None:
    """Show pairs token by token, coloured by reward; on a terminal, page through them by keys (`?` lists them).

    Selected tokens are underlined; without colours they stand in [brackets]. Two directories of the same pairs, of two
    oracles or two selections, stand side by side.
    """
    if sort == "disagreement" and other is None:
        raise typer.BadParameter("two directories can disagree: give another one", param_hint="--sort")
    if svg is not None and (limit or 1) > 1:
        raise typer.BadParameter("a picture shows one pair: leave --limit out", param_hint="--svg")

    from rich.console import Console

    from sepo_data.analysis.output_file import format_of, new_file
    from sepo_data.analysis.show.browser import Browser
    from sepo_data.analysis.show.listing import list_pairs
    from sepo_data.analysis.show.pairs import Shares, open_pairs
    from sepo_data.analysis.show.render import render_pairs
    from sepo_data.console.panics import without_panics
    from sepo_data.share import parse_share as basis_points

    if svg is not None:
        format_of(svg, PICTURES)
    with without_panics():
        pairs = open_pairs([directory] if other is None else [directory, other], verify=not no_verify)
        shares = pairs.stored_shares() or Shares(basis_points(chosen), basis_points(rejected))
        listing = list_pairs(pairs, shares, where=where, text=find, sort=sort, descending=descending)
    place, copies = listing.find(pair)
    browser = Browser(listing, shares, place, copies)
    if svg is None and limit is None and not json and _can_page():
        from sepo_data.analysis.show.browse import browse

        console, colours = _console()
        browse(browser, console, sys.stdin.fileno(), colours=colours)
        return
    print_notes(each.note for each in pairs.directories if each.note)
    if svg is not None:
        drawing = Console(record=True, width=100, file=io.StringIO(), color_system="truecolor", no_color=False)
        drawing.print(render_pairs(browser.shown, pairs.names, colours="many"))
        with new_file(svg, overwrite=overwrite, option="--svg") as file:
            title = f"sepo show --pair {browser.shown[0].row if pair is None else pair}"
            file.write(drawing.export_svg(title=spelt_out(title)).encode())
    entries = listing.order[place : place + (limit or 1)].tolist()
    every = (pairs.read(entry, shares, copies=copies if number == 0 else 1) for number, entry in enumerate(entries))
    if json:
        answers = [_answer(pairs, shown) for shown in every]
        print_json(answers[0] if limit is None else {"pairs": answers})
        return
    console, colours = _console()
    for number, shown in enumerate(every):
        if number:
            console.print()
        console.print(render_pairs(shown, pairs.names, colours=colours, width=console.width))


def _answer(pairs: Pairs, shown: Sequence[ShownPair]) -> dict[str, Any]:
    """A pair for programs; of two directories, as each has it."""
    from dataclasses import asdict

    from sepo_data.analysis.show.kept import disagreement_of

    if len(shown) == 1:
        return asdict(shown[0])
    each = [{"path": one.path} | asdict(pair) for one, pair in zip(pairs.directories, shown, strict=True)]
    return {"disagreement": disagreement_of(*shown), "directories": each}


def _can_page() -> bool:
    """True if somebody can press keys and see what they do."""
    if not (on_terminal() and sys.stdin is not None and sys.stdin.isatty()):
        return False
    return find_spec("termios") is not None and os.environ.get("TERM", "dumb") not in {"dumb", "unknown", ""}


def _console() -> tuple[Console, Colours]:
    """The console of standard output, and the colours that it has."""
    from rich.console import Console

    console = Console(file=below(sys.stdout), highlight=False)  # its text is escaped; its colours are ours
    if console.color_system is None or console.no_color or not _knows_colours():  # NO_COLOR leaves bold letters
        return Console(file=below(sys.stdout), highlight=False, color_system=None), "none"
    return console, "few" if console.color_system == "standard" else "many"


def _knows_colours() -> bool:
    """False where the terminal is known to have none; the name of one may be unknown here."""
    if os.environ.get("COLORTERM"):
        return True
    try:
        import curses

        curses.setupterm(fd=1)
        return curses.tigetnum("colors") > 0
    except (ImportError, OSError, curses.error):
        return True
