"""Filters of chat templates, within bounds."""

from __future__ import annotations

from pprint import PrettyPrinter
from typing import TYPE_CHECKING, Any, Protocol

from sepo_data.tokenization.template_sizes import (
    GROWING,
    MOST_CHARACTERS,
    SHORT,
    WRITING,
    TemplateTooLargeError,
    formatted_size,
    size_of_call,
    weight,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LISTING = {"list", "sort", "groupby", "slice", "join", "sum"}
_HELD = {"attr", "d", "default", "first", "last", "max", "min"}  # these give a value that exists already


class Counter(Protocol):
    """The environment, which raises a `TemplateTooLargeError` where values become too many or too large."""

    def count(self, size: int) -> None:
        """Count a value of `size` characters that is about to be made."""

    def counted(self, result: Any) -> Any:  # noqa: ANN401 - any value
        """Count `result`, which was made, and return it."""

    def listed(self, value: Any) -> Any:  # noqa: ANN401 - any value
        """Count `value`, of which a list is about to be made, and return it or a list of it."""


class BoundedFilters(dict[str, "Callable[..., Any]"]):
    """The filters of an environment, each within its bounds; also those that are set later."""

    def __init__(self, filters: Mapping[str, Callable[..., Any]], environment: Counter) -> None:
        super().__init__()
        self._environment = environment
        for name, function in filters.items():
            self[name] = _pretty if name == "pprint" else function

    def __setitem__(self, name: str, function: Callable[..., Any]) -> None:
        super().__setitem__(name, function if name in _HELD else _bounded(name, function, self._environment))


def _bounded(name: str, function: Callable[..., Any], environment: Counter) -> Callable[..., Any]:
    passed = getattr(function, "jinja_pass_arg", None)  # the environment or a context comes first
    place = 1 if passed else 0

    def looked_at(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - any filter
        first, value, rest = args[:place], args[place], args[place + 1 :]
        if name in _LISTING:
            value = environment.listed(value)
        if name == "format":
            environment.count(weight(value) if not isinstance(value, str) else formatted_size(value, named or rest))
        elif name in GROWING:
            environment.count(size_of_call(name, value, rest, named))
        return environment.counted(function(*first, value, *rest, **named))

    def counted(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - any filter
        value = args[place]
        if type(value) is not str and name in WRITING:
            environment.count(weight(value))
        result = function(*args, **named)
        held = result is value or (type(result) is str and len(result) <= SHORT)
        return result if held else environment.counted(result)

    bounded = looked_at if name in GROWING | _LISTING | {"format"} else counted
    if passed:
        bounded.jinja_pass_arg = passed  # type: ignore[attr-defined]
    return bounded


def _pretty(value: object) -> str:
    """As `pprint.pformat`; a key indents all that is below it."""
    stream = _BoundedStream()
    PrettyPrinter(stream=stream).pprint(value)  # type: ignore[arg-type]
    return "".join(stream.parts)[:-1]


class _BoundedStream:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self._left = MOST_CHARACTERS

    def write(self, part: str) -> None:
        self._left -= len(part)
        if self._left < 0:
            raise TemplateTooLargeError
        self.parts.append(part)
