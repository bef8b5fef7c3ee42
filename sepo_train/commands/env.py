"""`sepo env`: versions and hardware."""

from __future__ import annotations

from json import dumps

from sepo_data.commands.options import AsJson

EXAMPLES = ("sepo env", "sepo env --json")


def run(json: AsJson = False) -> None:
    """Print versions and hardware, for a bug report."""
    from sepo_train.models.device import environment

    found = environment()
    print(dumps(found) if json else "\n".join(f"{name:<12} {text}" for name, text in found.items()))
