"""Rules, grids and soft weights as text: `top(chosen=40%, rejected=20%)`, `mass(80%)`, `all`, `softmax(0.1)`."""

from __future__ import annotations

import inspect
import re
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from sepo_data.console.text import did_you_mean, shortened
from sepo_data.errors import SepoError
from sepo_data.selection.rule import RULES, Rule, example_call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sepo_data.selection.quota import Amount
    from sepo_data.selection.soft_weights import SoftWeights

MOST_RULES = 10_000
"""Of a grid: each is a directory of its own."""

GRID_EXAMPLE = 'write --grid "chosen=10%,30% rejected=10%,30%"'


def parse_rule(text: str, also: Mapping[str, Amount] | None = None) -> Rule:
    """The rule in `text`; `str(rule)` is the same rule with every argument written out.

    Args:
        text: `name` or `name(value, key=value)`, the arguments of the Python function of that name.
        also: further arguments, as from `--chosen`, `--rejected` and `--grid`, which `text` leaves open.

    Raises:
        SepoError: the rule or an argument is unknown, or `also` has an argument that `text` has, too.
    """
    function, positional, named = bind_call(text, {name: entry.function for name, entry in RULES.items()}, "rule")
    parameters = list(inspect.signature(function).parameters)
    for name, value in (also or {}).items():
        if name not in parameters:
            present = f"it has {', '.join(parameters) or 'no arguments'}"
            hint = f"set the rule with --rule; {present}" if name == "rule" else did_you_mean(name, parameters)
            raise SepoError(f"{name}={value}: the rule {text} has no argument {name}", hint or present)
        if name in named or name in parameters[: len(positional)]:
            raise SepoError(f"{name}={value}: the rule {text} has it already", "leave one of the two out")
        named[name] = value
    rule: Rule = function(*positional, **named)
    return rule


def grid_rules(rule: str, grid: Iterable[str]) -> dict[str, Rule]:
    """The rules of a grid, by the name of their directory, such as `chosen-10_rejected-30`.

    Every combination of the values is a rule; all of them are selected in one reading of the rewards.

    Args:
        rule: as `parse_rule` reads it, without the arguments that vary.
        grid: texts such as `chosen=10%,30% rejected=10%,30%`, one or several of them.

    Raises:
        SepoError: a text is no such list of values, or the rule has no such argument.
    """
    values: dict[str, list[str]] = {}
    for part in " ".join(grid).split():
        name, equals, listed = part.partition("=")
        if not equals or not name or name in values or not all(listed.split(",")):
            raise SepoError(f"--grid: {part!r} cannot be read at this place", GRID_EXAMPLE)
        values[name] = listed.split(",")
    if not values:
        raise SepoError("--grid is empty", GRID_EXAMPLE)
    if prod(map(len, values.values())) > MOST_RULES:
        raise SepoError(f"--grid makes more than {MOST_RULES:,} rules", "write fewer values, or several grids")
    points = [dict(zip(values, point, strict=True)) for point in product(*values.values())]
    rules = {_directory_name(point): parse_rule(rule, point) for point in points}
    if len(rules) < len(points) or len(set(map(str, rules.values()))) < len(points):
        raise SepoError(f"--grid has a value twice: {' '.join(grid)}", "write each value once")
    return rules


def parse_weights(text: str) -> SoftWeights:
    """The soft weights in `text`: `softmax`, `softmax(0.5)`, `tis(low=-1, high=1)`, `linear`."""
    from sepo_data.selection.soft_weights import WEIGHTS

    function, positional, named = bind_call(text, WEIGHTS, "weights")
    weights: SoftWeights = function(*positional, **named)
    return weights


def bind_call(
    text: str, functions: Mapping[str, Callable[..., Any]], kind: str
) -> tuple[Callable[..., Any], list[str], dict[str, Any]]:
    """The function of a call written as text, `name(value, key=value)`, and its arguments as texts.

    Raises:
        SepoError: the text is no call, or the function or an argument is unknown.
    """
    match = re.fullmatch(r"([\w-]+)\s*(?:\((.*)\))?", text.strip(), re.DOTALL)
    text = shortened(text)
    if match is None:
        raise SepoError(f"{text!r} is no {kind}", "write a name, or name(value, key=value)")
    name, inside = match[1], (match[2] or "").strip()
    if name not in functions:
        raise SepoError(
            f"unknown {kind} {shortened(name)!r}; known: {', '.join(functions)}", did_you_mean(name, functions)
        )
    signature = inspect.signature(functions[name])
    example = f"it is {example_call(name, functions[name])}"
    positional: list[str] = []
    named: dict[str, Any] = {}
    for part in inside.split(",") if inside else []:
        key, equals, value = (each.strip() for each in part.partition("="))
        if not equals:
            if named or not key:
                raise SepoError(f"{text!r}: {shortened(part.strip())!r} cannot be read at this place", example)
            positional.append(key)
        elif key not in signature.parameters:
            raise SepoError(f"{name} has no {shortened(key)!r}", did_you_mean(key, signature.parameters) or example)
        elif key in named or not value:
            raise SepoError(f"{text!r}: {key} has {'two values' if value else 'no value'}", example)
        else:
            named[key] = value
    try:
        signature.bind(*positional, **named)
    except TypeError as error:
        raise SepoError(f"{text!r}: {error}", example) from None
    return functions[name], positional, named


def _directory_name(point: dict[str, str]) -> str:
    """A name that every file system accepts."""
    return "_".join(f"{name}-{re.sub('[^0-9A-Za-z.-]', '', value)}" for name, value in point.items())
