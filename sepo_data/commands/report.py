"""`sepo report`: one HTML file that shows rewards and selections, token by token."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from sepo_data.commands.grouped_help import OUTPUT
from sepo_data.commands.options import AsJson, NoProgress, NoVerify, Quiet, argument, option, parse_location
from sepo_data.commands.session import session
from sepo_data.console.output import print_json, print_values

EXAMPLES = (
    "sepo report rewards/ --out report.html",
    "sepo report selection/ --out report.html --pairs 200",
    "sepo report rewards_small/ rewards_large/ --out oracles.html",
)

NO_FILE = "no file was written"


def run(
    directories: Annotated[
        list[Path],
        argument("DIR", parser=parse_location, help="directories that `sepo score` or `sepo select` wrote"),
    ],
    out: Annotated[Path, option(OUTPUT, "--out", metavar="FILE", help="file to write, FILE.html")],
    pairs: Annotated[int, option(OUTPUT, min=1, help="pairs to browse in the file; figures are of all")] = 500,
    overwrite: Annotated[bool, option(OUTPUT, "--overwrite", help="replace the file in --out")] = False,
    no_verify: NoVerify = False,
    json: AsJson = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> None:
    """Write one HTML file to look at rewards and selections: every token, and charts of all pairs.

    Tokens are coloured by reward; sliders re-select them as `sepo select` does. The file needs no network. Several
    directories are compared, pair by pair. An unfinished one is reported as far as it is.
    """
    with session(quiet=quiet, no_progress=no_progress, after_interrupt=NO_FILE) as terminal:
        from dataclasses import asdict

        from sepo_data.report.report import write_report

        made = write_report(directories, out, pairs=pairs, overwrite=overwrite, verify=not no_verify, progress=terminal)
        part = f"{made.shown:,} of " if made.shown < made.pairs else ""
        pairs_text = f"{part}{made.pairs:,} pair{'s' * (made.pairs != 1)}"
        terminal.note(f"{pairs_text} to browse, {made.bytes / 1e6:.1f} MB, {made.seconds:.0f} s")
    if json:
        print_json(asdict(made) | {"path": str(made.path)})
    else:
        print_values([made.path])
