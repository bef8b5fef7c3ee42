"""`sepo config`: every option's value and where it comes from."""

from __future__ import annotations

from json import dumps
from typing import Any

import typer

from sepo_data.commands.config_file import commands_of
from sepo_data.commands.options import AsJson
from sepo_data.console.output import print_json, print_lines

EXAMPLES = ("sepo config --config sepo.toml --json",)

SOURCES = {"DEFAULT_MAP": "file"}
"""Sources whose name in Typer is not that of this command's answer."""


def run(context: typer.Context, json: AsJson = False) -> None:
    """Print every option's value and where it comes from.

    From the environment, from the file that --config names, or the default: the value that a command takes when it is
    called without that option.
    """
    answer: dict[str, dict[str, Any]] = {}
    for name, command in commands_of(context).items():
        called = typer.Context(command, info_name=name, parent=context.parent)
        for option in command.params:
            value, source = option.consume_value(called, {})
            if option.param_type_name == "option" and option.expose_value:
                origin = SOURCES.get(source.name, source.name.lower())
                answer.setdefault(name, {})[option.name] = {"value": value, "source": origin}
    if json:
        print_json(answer)
        return
    print_lines(
        f"{name + '.' + option_name:<30} {_value(found['value']):<12} {found['source']}"
        for name, options in answer.items()
        for option_name, found in options.items()
    )


def _value(value: object) -> str:
    return "-" if value is None else dumps(value)
