"""`sepo info`: what a directory holds and where it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from sepo_data.commands.options import AsJson, argument, parse_location
from sepo_data.commands.session import print_answer

EXAMPLES = ("sepo info rewards/", "sepo info rewards/ --json")


def run(
    directory: Annotated[
        Path, argument("DIR", parser=parse_location, help="any directory that sepo wrote, finished or not")
    ],
    json: AsJson = False,
) -> None:
    """Print a directory's manifest: its content, origin and options.

    Rows, tokens, skipped rows, models, options, versions. Of an incomplete dataset, the progress and the time left.
    """
    from sepo_data.analysis.info import lines, read_info
    from sepo_data.console.text import printable

    manifest = read_info(directory)
    if json:
        print_answer(directory, manifest, as_json=True)
        return
    for label, text in lines(manifest, directory):
        print(printable(f"{label:<12} {text}"))
