"""Checked calls: the arguments of a public function are compared with its annotations before it does any work.

Python takes any value for any argument, and many a wrong one has a meaning by accident: the letters of a text as names,
True as 1, a misspelt choice as its alternative. Here it is an error that names the argument, as on the command line.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from functools import wraps
from inspect import Parameter, signature
from numbers import Integral, Real
from operator import is_
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, get_args

from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")

LONGEST_VALUE = 40
"""Characters of a wrong value in its message."""


@dataclass(frozen=True)
class Limit:
    """A bound of a number, and its text in a message."""

    text: str
    holds: Callable[[Any], bool]


def at_least(bound: int) -> Limit:
    """A number from `bound` on."""
    return Limit(f"a number from {bound}", lambda value: value >= bound)


def above(bound: int) -> Limit:
    """A number beyond `bound`."""
    return Limit(f"a number above {bound}", lambda value: value > bound)


def between(lowest: int, highest: int) -> Limit:
    """A number from `lowest` to `highest`."""
    return Limit(f"a number from {lowest} to {highest}", lambda value: lowest <= value <= highest)


def checked(**limits: object) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Check the arguments of the decorated function before each call, which gets NumPy's scalars as Python's.

    An annotation is read as it is written. Of a class that is imported for type checkers alone the name is compared.

    Args:
        limits: by parameter, a `Limit` of its number, or the `Literal` that its annotation names.

    Raises:
        SepoError: an argument is none that its annotation has.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        called = signature(function)
        owner = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]
        annotations = {name: each.annotation for name, each in called.parameters.items() if name != "self"}

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                given = called.bind(*args, **kwargs)
            except TypeError:
                return function(*args, **kwargs)  # a missing or an unknown argument: Python's own message
            for name, value in given.arguments.items():
                # Of further keyword arguments, each has the annotation.
                several = called.parameters[name].kind is Parameter.VAR_KEYWORD
                for each, of in (value.items() if several else [(name, value)]) if name in annotations else ():
                    _check(owner, each, of, annotations[name], limits.get(name))
                given.arguments[name] = {each: _plain(of) for each, of in value.items()} if several else _plain(value)
            return function(*given.args, **given.kwargs)

        return call

    return decorate


def check_fields(made: Any, **limits: object) -> None:  # noqa: ANN401 - any dataclass
    """Check the fields of a dataclass, in its `__post_init__`, as `checked` does arguments; `limits` are the same.

    Raises:
        SepoError: a field has a value that its annotation does not have.
    """
    for field in fields(made):
        value = getattr(made, field.name)
        _check(type(made).__name__, field.name, value, str(field.type), limits.get(field.name))
        object.__setattr__(made, field.name, _plain(value))


def _check(owner: str, name: str, value: object, annotation: str, limit: object) -> None:
    choices = () if isinstance(limit, Limit) else get_args(limit)
    if not any(_fits(value, kind, choices) for kind in _split(annotation, "|")):
        raise SepoError(
            f"{owner}: {name} is {_shown(value)}, not {_wanted(value, annotation, choices)}",
            f"it is of type {type(value).__name__}; help() prints what each argument takes",
        )
    if isinstance(limit, Limit) and value is not None and not limit.holds(value):
        raise SepoError(f"{owner}: {name} is {_shown(value)}, not {limit.text}", "choose another value")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _wanted(value: object, annotation: str, choices: tuple[object, ...]) -> str:
    if "Amount" in annotation and isinstance(value, Integral) and not _is_bool(value):
        return 'a share: write "30%" or 0.3'
    return f"one of {', '.join(map(repr, choices))}" if choices else " or ".join(_words(annotation))


def _fits(value: object, kind: str, choices: tuple[object, ...]) -> bool:
    name, _, inside = kind.removesuffix("]").partition("[")
    if name in SIMPLE:
        return SIMPLE[name](value)
    parts = list(_split(inside, ","))
    if name == "Mapping":
        return isinstance(value, Mapping) and all(
            _fits_any(key, parts[0]) and _fits_any(item, parts[1]) for key, item in value.items()
        )
    if name in {"tuple", "Sequence"}:
        if not isinstance(value, (tuple, list)):
            return False
        kinds = parts[:1] * len(value) if name == "Sequence" or parts[-1] == "..." else parts
        return len(kinds) == len(value) and all(map(_fits_any, value, kinds))
    if choices:
        return any(isinstance(value, type(each)) and value == each for each in choices) and not _is_bool(value)
    return name.rpartition(".")[2] in _class_names(value)


def _fits_any(value: object, annotation: str) -> bool:
    return any(_fits(value, kind, ()) for kind in _split(annotation, "|"))


def _split(text: str, separator: str) -> Iterator[str]:
    """The parts of `text` between separators that are in no brackets."""
    depth, part = 0, ""
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if letter == separator and not depth:
            yield part.strip()
            part = ""
        else:
            part += letter
    yield part.strip()


def _words(annotation: str) -> list[str]:
    return [WORDS.get(kind) or _words_of_container(kind) for kind in _split(annotation, "|")]


def _words_of_container(kind: str) -> str:
    name, _, inside = kind.removesuffix("]").partition("[")
    parts = [" or ".join(_words(part)) for part in _split(inside, ",") if part not in {"", "..."}]
    if name == "Mapping":
        return f"a dictionary from {parts[0]} to {parts[1]}"
    return f"a list or tuple of: {', '.join(parts)}" if name in {"Sequence", "tuple"} else name.rpartition(".")[2]


def _plain(value: Any) -> Any:  # noqa: ANN401 - any argument
    """NumPy's scalars, also in lists and tuples, as Python's: manifests and their fingerprints are JSON.

    A float of fewer bits is the number that it is written as: 0.3, not 0.30000001192092896.
    """
    if type(value) in {list, tuple}:
        made = [_plain(each) for each in value]
        return value if all(map(is_, made, value)) else type(value)(made)
    if type(value).__module__ != "numpy" or getattr(value, "ndim", None) != 0:
        return value
    return float(str(value)) if isinstance(value, Real) and not isinstance(value, Integral) else value.item()


def _is_bool(value: object) -> bool:
    return isinstance(value, bool) or type(value).__name__ in {"bool", "bool_"}  # the second is NumPy's


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not _is_bool(value) and math.isfinite(value)


def _is_path(value: object) -> bool:
    return isinstance(value, os.PathLike) or "UPath" in _class_names(value)


def _class_names(value: object) -> set[str]:
    return {parent.__name__ for parent in type(value).__mro__}


def path_text(name: str | PurePath) -> str:
    """The name of a dataset or a model, which may be a path; another value as it is, for the check."""
    return os.fspath(name) if isinstance(name, PurePath) else name


def _has_methods(*names: str) -> Callable[[object], bool]:
    return lambda value: all(callable(getattr(value, name, None)) for name in names)


SIMPLE: dict[str, Callable[[object], bool]] = {
    "None": lambda value: value is None,
    "bool": _is_bool,
    "int": lambda value: _is_number(value) and isinstance(value, Integral),
    "float": _is_number,
    "str": lambda value: isinstance(value, str),
    "Path": _is_path,
    "Amount": lambda value: isinstance(value, str) or type(value).__name__ == "Quota" or _is_fraction(value),
    "Callable": callable,
    "Progress": _has_methods("note", "step"),
}
"""Values of the annotations that are no class with a name of its own, or of more than one."""

WORDS = {
    "None": "None",
    "bool": "True or False",
    "int": "a whole number",
    "float": "a finite number",
    "str": "a text",
    "Path": "a path",
    "Amount": 'a share such as "30%" or 0.3',
    "Progress": "an object with the methods of Progress",
}
"""The same in a message."""


def _is_fraction(value: object) -> bool:
    return isinstance(value, Decimal) or (_is_number(value) and not isinstance(value, Integral))
