"""Options that are built into one value: a command declares the parameter, a builder has the options.

Nothing is read from signatures before a command is built, so that `sepo --help` imports no registry of rules or losses.
"""

from __future__ import annotations

import inspect
from collections import Counter
from functools import wraps
from typing import TYPE_CHECKING, Any

from typer.models import ArgumentInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Declare = Callable[[], Iterable[inspect.Parameter]]

TAKEN = "options_to_build"
"""The attribute in which a command keeps what it takes: parameter, builder, further declarations, place in help."""


def takes(
    parameter: str, build: Callable[..., Any], *, declare: Declare | None = None, after: str = ""
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of `build` for its `parameter`; an option in the signatures of both is shared.

    Args:
        parameter: of the command; `build` makes its value.
        build: a function of options.
        declare: lists the options of `build`, where its signature does not; none of them may be shared.
        after: the command's option behind which help prints them; by default before all that are not required.
    """
    build.__annotations__.pop("return", None)  # so that its type may be imported for type checking alone

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        command.__annotations__.pop(parameter, None)  # no option; see above
        command.__dict__.setdefault(TAKEN, []).append((parameter, build, declare, after))
        return command

    return decorate


def with_built_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command as Typer reads it: with the options of the builders in the place of the parameters that they build.

    Raises:
        ValueError: `declare` of a builder lists an option that the command or another builder has.
    """
    taken = getattr(command, TAKEN, ())
    options = {
        parameter: list(declare() if declare else inspect.signature(build, eval_str=True).parameters.values())
        for parameter, build, declare, _ in taken
    }
    names = Counter(list(inspect.signature(command).parameters))
    names.update(entry.name for listed in options.values() for entry in listed)
    for parameter, build, declare, _ in taken:
        names[parameter] -= 1  # what is built is no option
        clashing = [entry.name for entry in options[parameter] if declare and names[entry.name] > 1]
        names[parameter] += 1
        if clashing:
            option = f"--{clashing[0].replace('_', '-')}"
            raise ValueError(f"{option} of {build.__name__} is an option of {command.__module__} already: rename it")
    for parameter, build, _, after in taken:
        command = _with_built(command, parameter, build, options[parameter], after)
    return command


def _with_built(
    command: Callable[..., None],
    parameter: str,
    build: Callable[..., Any],
    declared: Iterable[inspect.Parameter],
    after: str,
) -> Callable[..., None]:
    own = dict(inspect.signature(command, eval_str=True).parameters)
    del own[parameter]
    shared = {entry.name: entry for entry in declared}
    added = [entry for name, entry in shared.items() if name not in own]
    arguments = [entry for entry in added if isinstance(entry.annotation.__metadata__[-1], ArgumentInfo)]
    required = [entry for entry in own.values() if entry.default is entry.empty]
    before = list(own.values())[: list(own).index(after) + 1] if after else []

    @wraps(command)
    def with_built(**given: Any) -> None:  # noqa: ANN401 - what the command line gives
        built = build(**{name: given[name] for name in shared})
        command(**{parameter: built}, **{name: value for name, value in given.items() if name in own})

    in_order = {entry.name: entry for entry in (*arguments, *required, *before, *added, *own.values())}
    set_parameters(with_built, in_order.values())
    return with_built


def set_parameters(command: Callable[..., None], parameters: Iterable[inspect.Parameter]) -> None:
    """Give `command` a signature of keyword parameters, as Typer reads it."""
    keywords = [entry.replace(kind=inspect.Parameter.KEYWORD_ONLY) for entry in parameters]
    command.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]  # what Typer reads
    command.__annotations__ = {entry.name: entry.annotation for entry in keywords}


def keyword(name: str, default: object, annotation: Any) -> inspect.Parameter:  # noqa: ANN401 - an Annotated type
    """Declare one option of a builder whose signature does not list it."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
