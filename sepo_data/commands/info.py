"""`sepo info`: what a directory holds and where it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from sepo_data.commands.grouped_help import INPUT
from sepo_data.commands.options import AsJson, argument, option, parse_location
from sepo_data.console.output import print_json, print_lines

EXAMPLES = ("sepo info rewards/", "sepo info rewards/ --json", "sepo info rewards/ --verify")


def run(
    directory: Annotated[
        Path, argument("DIR", parser=parse_location, help="any directory that sepo wrote, finished or not")
    ],
    verify: Annotated[
        bool, option(INPUT, "--verify", help="read every file of a dataset, and compare it with the manifest")
    ] = False,
    json: AsJson = False,
) -> None:
    """Print a directory's manifest: its content, origin and options.

    Rows, tokens, skipped rows, models, options, versions. Of an incomplete dataset, the progress and the time left.
    Shards that are missing or have another size are faults; --verify compares their bytes as well, and ends with exit
    code 1 where it finds a fault.
    """
    from sepo_data.analysis.faults import fault_lines, read_faults, verification_error, verified_line
    from sepo_data.analysis.info import lines, read_info, summary

    manifest = read_info(directory)
    faults = read_faults(directory, manifest, verify=verify)
    if json:
        print_json(summary(directory, manifest, faults))
    else:
        found = [*lines(manifest, directory, faults), *fault_lines(directory, manifest, faults)]
        found += [verified_line(manifest)] if verify and not faults else []
        print_lines(f"{label:<12} {text}" for label, text in found)
    if verify and faults:
        raise verification_error(directory, faults)
