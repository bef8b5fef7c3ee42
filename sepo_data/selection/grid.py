"""Many selections of the same rewards: every combination of the values given for the arguments of a rule."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.selection.parse import parse_rule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sepo_data.selection.rules import Rule


def grid_rules(rule: str, grid: Iterable[str]) -> dict[str, Rule]:
    """The rules of a grid by the name of their directory, such as `chosen-10_rejected-30`.

    Args:
        rule: as `parse_rule` reads it, without the arguments that vary.
        grid: texts such as `chosen=10%,30% rejected=10%,30%`, one or several of them.

    Raises:
        SepoError: a text is no such thing, or the rule has no such argument.
    """
    values: dict[str, list[str]] = {}
    for part in " ".join(grid).split():
        name, equals, listed = part.partition("=")
        if not equals or not name or name in values or not all(listed.split(",")):
            raise SepoError(f"--grid: {part!r} cannot stand there", 'write --grid "chosen=10%,30% rejected=10%,30%"')
        values[name] = listed.split(",")
    if not values:
        raise SepoError("--grid is empty", 'write --grid "chosen=10%,30% rejected=10%,30%"')
    points = [dict(zip(values, point, strict=True)) for point in product(*values.values())]
    rules = {_directory(point): parse_rule(rule, point) for point in points}
    if len(rules) < len(points) or len(set(map(str, rules.values()))) < len(points):
        raise SepoError(f"--grid has a value twice: {' '.join(grid)}", "write each value once")
    return rules


def _directory(point: dict[str, str]) -> str:
    """A name that any file system takes."""
    return "_".join(f"{name}-{re.sub('[^0-9A-Za-z.-]', '', value)}" for name, value in point.items())
