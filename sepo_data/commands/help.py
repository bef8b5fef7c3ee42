"""`sepo help`: the help of a command."""

from __future__ import annotations

from typing import Annotated

import typer

from sepo_data.commands.config_file import commands_of
from sepo_data.commands.options import argument
from sepo_data.console.output import print_lines

EXAMPLES = ("sepo help", "sepo help score")


def complete_command(context: typer.Context, incomplete: str) -> list[str]:
    """List the commands that begin with `incomplete`."""
    return [name for name in commands_of(context) if name.startswith(incomplete)]


def run(
    context: typer.Context,
    command: Annotated[
        str | None, argument("COMMAND", autocompletion=complete_command, help="a command; without it, help lists all")
    ] = None,
) -> None:
    """Print the help of a command, as `sepo COMMAND --help` does."""
    root = context.find_root()
    if command is None:
        print_lines(root.get_help().split("\n"))
        return
    group = root.command
    if isinstance(group, typer.core.TyperGroup):
        _, found, _ = group.resolve_command(root, [command])
        if found is not None:
            print_lines(found.get_help(typer.Context(found, info_name=command, parent=root)).split("\n"))
