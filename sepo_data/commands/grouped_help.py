"""Help of a command in groups: what it reads, with which models, what it writes, how it runs."""

from __future__ import annotations

from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args, get_origin

import typer.core
from typer.models import OptionInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typer._click import Context, HelpFormatter

INPUT, MODELS, REWARDS, SELECTION, TRAINING, LOSS, EVALUATION, OUTPUT, RUN = PANELS = (
    "Input",
    "Models",
    "Rewards",
    "Selection",
    "Training",
    "Loss",
    "Evaluation",
    "Output",
    "Run",
)
"""The headings, in the order in which help prints them."""

VALUE_NAMES = {int: "N", float: "NUMBER", Path: "PATH"}

Rows = list[tuple[str, str]]


class GroupedCommand(typer.core.TyperCommand):
    """A command that prints its options under the headings that they name.

    Typer groups them as well, with Rich alone: half a second, and frames that plain text has no use for.
    """

    sections: ClassVar[dict[str, Callable[[], Iterable[tuple[str, str]]]]] = {}
    """Further headings, such as one of all rules, each with a function that lists names and meanings."""

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the options, heading by heading."""
        panels: dict[str, Rows] = {name: [] for name in PANELS}
        for option in self.get_params(ctx):
            if (row := option.get_help_record(ctx)) is not None:
                name = option.metavar if option.param_type_name == "argument" else row[0]
                panels[getattr(option, "rich_help_panel", None) or RUN].append((name or row[0], row[1]))
        panels |= {name: list(listed()) for name, listed in self.sections.items()}
        for name, rows in panels.items():
            if rows:
                with formatter.section(name):
                    formatter.write_dl(rows)


def name_values(command: Callable[..., None]) -> None:
    """Give the options of `command` that name no value a name that people read: `N`, `PATH`, `local|ray`."""
    for annotation in command.__annotations__.values():
        kind, *declared = get_args(annotation) or (annotation,)
        if declared and isinstance(declared[-1], OptionInfo) and declared[-1].metavar is None:
            declared[-1].metavar = _value_name(kind)


def _value_name(kind: Any) -> str | None:  # noqa: ANN401 - a type or a union of types
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    if inner := [each for each in get_args(kind) if each is not NoneType]:  # of `int | None` and `list[int]`
        return _value_name(inner[0])
    return None if kind is bool else VALUE_NAMES.get(kind, "TEXT")


def command_class(sections: dict[str, Callable[[], Iterable[tuple[str, str]]]] | None = None) -> type[GroupedCommand]:
    """The class of a command whose help ends with `sections`."""
    return type("GroupedCommand", (GroupedCommand,), {"sections": sections or {}})
