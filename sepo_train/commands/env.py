"""`sepo env`: versions and hardware."""

from __future__ import annotations

from sepo_data.commands.options import AsJson
from sepo_data.console.output import print_json, print_lines

EXAMPLES = ("sepo env", "sepo env --json")


def run(json: AsJson = False) -> None:
    """Print versions and hardware, for a bug report."""
    from sepo_train.models.device import environment

    found = environment()
    if json:
        print_json(found)
    else:
        print_lines(f"{name:<12} {text}" for name, text in found.items())
