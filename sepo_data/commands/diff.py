"""`sepo diff`: two rewards or selection datasets of the same pairs, compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from sepo_data.commands.grouped_help import OUTPUT
from sepo_data.commands.options import AsJson, NoVerify, argument, option, parse_stage_folder
from sepo_data.console.interrupts import end_on_signals
from sepo_data.console.output import print_json, print_lines

EXAMPLES = ("sepo diff rewards_small/ rewards_large/", "sepo diff top30/ top50/ --show-pairs 3")


def run(
    a: Annotated[
        Path, argument("A", parser=parse_stage_folder, help="a directory that `sepo score` or `sepo select` wrote")
    ],
    b: Annotated[Path, argument("B", parser=parse_stage_folder, help="another one, of the same data")],
    show_pairs: Annotated[int, option(OUTPUT, min=0, help="print the N pairs that differ most")] = 10,
    no_verify: NoVerify = False,
    json: AsJson = False,
) -> None:
    """Compare two oracles, or two selections, on the same pairs.

    Rank correlation of the rewards within a response, overlap of the tokens that each selects, and the pairs that
    differ most. Shows whether an oracle trained on a part of the data selects the same tokens.
    """
    from dataclasses import asdict

    from sepo_data.analysis.diff import diff, report

    end_on_signals()
    found = diff(a, b, pairs=show_pairs, verify=not no_verify)
    if json:
        print_json(asdict(found))
    else:
        print_lines(report(found))
