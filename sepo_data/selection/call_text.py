"""Calls written as text, `name(value, key=value)`: the language of the rules and the weights, and its errors."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from sepo_data.console.suggest import did_you_mean
from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def bind_call(
    text: str, functions: Mapping[str, Callable[..., Any]], what: str
) -> tuple[Callable[..., Any], list[str], dict[str, str]]:
    """The function that `text` names, and its arguments as texts.

    Raises:
        SepoError: there is no such function or argument (what exists is told), or the text is no call.
    """
    match = re.fullmatch(r"\s*([\w-]+)\s*(?:\((.*)\))?\s*", text, re.DOTALL)
    if match is None:
        raise SepoError(f"{text!r} is no {what}", "write a name, or name(value, key=value)")
    name, inside = match[1], (match[2] or "").strip()
    if name not in functions:
        known = f"there are: {', '.join(functions)}"
        raise SepoError(f"there is no {what} {name!r}; {known}", did_you_mean(name, functions))
    signature = inspect.signature(functions[name])
    example = f"it is {name}({', '.join(map(_written, signature.parameters.values()))})"
    positional: list[str] = []
    named: dict[str, str] = {}
    for part in inside.split(",") if inside else []:
        key, equals, value = (each.strip() for each in part.partition("="))
        if not equals:
            if named or not key:
                raise SepoError(f"{text!r}: {part.strip()!r} cannot stand there", example)
            positional.append(key)
        elif key not in signature.parameters:
            raise SepoError(f"{name} has no {key!r}", did_you_mean(key, signature.parameters) or example)
        elif key in named or not value:
            raise SepoError(f"{text!r}: {key} is given {'twice' if value else 'no value'}", example)
        else:
            named[key] = value
    try:
        signature.bind(*positional, **named)
    except TypeError as error:
        raise SepoError(f"{text!r}: {error}", example) from None
    return functions[name], positional, named


def _written(parameter: inspect.Parameter) -> str:
    default = parameter.default
    return parameter.name if default in ("", None) else f"{parameter.name}={default}"
