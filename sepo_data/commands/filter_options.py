"""The options of the filters of a selection, made from their registry, and the list of rules in help and completion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from sepo_data.commands.built_options import keyword, takes
from sepo_data.commands.grouped_help import SELECTION
from sepo_data.commands.options import option

if TYPE_CHECKING:
    import inspect
    from collections.abc import Iterator

    from sepo_data.selection.filter import Filter


def rule_rows() -> list[tuple[str, str]]:
    """The call of each rule with its defaults, and its summary, for the help of `sepo select`."""
    from sepo_data.selection.rule import RULES

    return [(entry.call, entry.summary) for entry in RULES.values()]


def complete_rule(incomplete: str) -> list[tuple[str, str]]:
    """List the rules that begin with `incomplete`, each with its summary."""
    from sepo_data.selection.rule import RULES

    return [(entry.name, entry.summary) for entry in RULES.values() if entry.name.startswith(incomplete)]


def declare_filters() -> Iterator[inspect.Parameter]:
    """List the option of each filter."""
    from sepo_data.selection.filter import FILTERS

    for entry in FILTERS.values():
        kind: Any = entry.kind if entry.default is not None else entry.kind | None
        declared = option(SELECTION, entry.option, min=entry.minimum, metavar=entry.metavar, help=entry.help)
        yield keyword(entry.name, entry.default, Annotated[kind, declared])


def build_filters(**values: str | int | None) -> tuple[Filter, ...]:
    """Build the filters of the options of `sepo select`."""
    from sepo_data.selection.filter import filters_of

    return filters_of(values)


takes_filters = takes("filters", build_filters, declare=declare_filters, after="grid")
