"""Rules as text, as on the command line and in the manifest: `top(chosen=40%, rejected=20%)`, `mass(80%)`, `all`."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from sepo_data.console.suggest import did_you_mean
from sepo_data.errors import SepoError
from sepo_data.selection import control_rules as controls
from sepo_data.selection import published_rules as peer_rules
from sepo_data.selection import rules
from sepo_data.selection.call_text import bind_call
from sepo_data.selection.dataset_rules import budget, threshold
from sepo_data.selection.span_rule import span

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RULES: dict[str, Callable[..., rules.Rule]] = {
    "top": rules.top,
    "threshold": threshold,
    "mass": rules.mass,
    "budget": budget,
    "random": controls.random,
    "position-random": controls.position_random,
    "inverse": controls.inverse,
    "all": controls.every,
    "confidence": peer_rules.confidence,
    "ref-gap": peer_rules.ref_gap,
    "decay": peer_rules.decay,
    "span": span,
}
"""Every rule that has a name; your own expression is `rules.own` in Python."""


def parse_rule(text: str, also: Mapping[str, str] | None = None) -> rules.Rule:
    """The rule that `text` says; `str(rule)` says it back with nothing left out.

    Args:
        text: `name` or `name(value, key=value)`, the arguments of the Python function of that name.
        also: further arguments, as from `--chosen`, `--rejected` and `--grid`, which `text` leaves open.

    Raises:
        SepoError: there is no such rule or argument, or `also` has what the rule does not or `text` gives too.
    """
    function, positional, named = bind_call(text, RULES, "rule")
    parameters = list(inspect.signature(function).parameters)
    for name, value in (also or {}).items():
        if name not in parameters:
            raise SepoError(f"{name}={value}: the rule {text} has no {name}", did_you_mean(name, parameters))
        if name in named or name in parameters[: len(positional)]:
            raise SepoError(f"{name}={value}: the rule {text} gives it already", "leave one of the two out")
        named[name] = value
    rule: rules.Rule = function(*positional, **named)
    return rule
