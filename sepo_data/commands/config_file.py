"""Options from a TOML file: a table for each command. A misspelt key is an error, not a lost GPU day."""

from __future__ import annotations

import inspect
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from sepo_data.commands.built_options import set_parameters
from sepo_data.commands.grouped_help import RUN
from sepo_data.commands.options import option
from sepo_data.console.text import did_you_mean
from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def read_config(path: Path, known: Mapping[str, Mapping[str, bool]]) -> dict[str, dict[str, Any]]:
    """The options of each command in the TOML file `path`, with `_` for `-` and lists as on the command line.

    Args:
        path: the file.
        known: the options that each command has, and whether one may be given several times.

    Raises:
        SepoError: there is no such file, it is not TOML, or it has unknown keys; all of them are named.
    """
    import tomllib

    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SepoError(f"the configuration {path} does not exist", "give a TOML file") from None
    except OSError as error:
        raise SepoError(f"the configuration {path} cannot be read: {error.strerror}", "give a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SepoError(f"{path} is not TOML: {error}", "write  [score]  and below it  beta = 0.1") from error
    resolved: dict[str, dict[str, Any]] = {}
    unknown: list[tuple[str, str]] = []
    for command, options in tables.items():
        if command not in known or not isinstance(options, dict):
            unknown.append((command, did_you_mean(command, known)))
            continue
        resolved[command] = {
            (key := name.replace("-", "_")): _as_given(value, repeated=known[command].get(key, False))
            for name, value in options.items()
        }
        unknown += [
            (f"{command}.{name}", did_you_mean(name, known[command]))
            for name in resolved[command]
            if name not in known[command]
        ]
    if unknown:
        raise SepoError(
            f"{path} has unknown keys: {', '.join(name for name, _ in unknown)}",
            "; ".join(f"for {name}, {guess}" for name, guess in unknown if guess),
        )
    return resolved


def _as_given(value: Any, *, repeated: bool) -> Any:  # noqa: ANN401 - what TOML holds
    """A value as the command line would give it: lists with commas, or as they are where an option is repeated.

    A table is a list of NAME=VALUE.
    """
    if isinstance(value, dict):
        value = [f"{name}={inner}" for name, inner in value.items()]
    if repeated:
        return value if isinstance(value, list) else [value]
    return ",".join(map(str, value)) if isinstance(value, list) else value


def commands_of(context: typer.Context) -> dict[str, typer.core.TyperCommand]:
    """The commands of the program that `context` belongs to, by name."""
    group = context.find_root().command
    commands = group.commands if isinstance(group, typer.core.TyperGroup) else {}
    return {name: command for name, command in commands.items() if isinstance(command, typer.core.TyperCommand)}


def use_config(context: typer.Context, path: Path | None) -> None:
    """Take the options that are not given otherwise from the TOML file `path`."""
    if path is None:
        return
    known = {
        name: {entry.name: getattr(entry, "multiple", False) for entry in command.params if entry.name != "config"}
        for name, command in commands_of(context).items()
    }
    tables = read_config(path, known)
    context.find_root().default_map = tables
    if context.parent is not None and context.info_name:
        context.default_map = tables.get(context.info_name)


ConfigFile = Annotated[
    Path | None,
    option(
        RUN,
        "--config",
        metavar="FILE",
        callback=use_config,
        is_eager=True,  # it gives the other options their values
        expose_value=False,
        allow_from_autoenv=False,
        help="a TOML file with a table of options for each command",
    ),
]


def takes_config(command: Callable[..., None]) -> Callable[..., None]:
    """Let `--config FILE` stand after the command as well."""
    signature = inspect.signature(command, eval_str=True)
    own = inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ConfigFile)

    @wraps(command)
    def with_config(**given: Any) -> None:  # noqa: ANN401 - what the command line gives
        given.pop("config", None)
        command(**given)

    set_parameters(with_config, [*signature.parameters.values(), own])
    return with_config
