"""Filters of a selection: what surrounds a rule, whichever rule it is.

They act in the order of their steps. First those that narrow: the rule ranks each response without some tokens, so 30%
is 30% of the others; a response that would lose all of its tokens keeps them. Then the rule, within the bounds that
filters set. Then those that widen what the rule took. So `max_tokens` limits the rule, not what is added after it.
A control has as many tokens as the rule that it is a control of, with what is added to that one (`matching.py`).

The filters themselves are in the folder `filters`. Importing this module and them imports neither Polars nor NumPy.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from sepo_data.errors import SepoError
from sepo_data.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from sepo_data.selection.ragged import Ragged
    from sepo_data.selection.token_classes import TokenClasses

    Mask = NDArray[np.bool_]

NARROW, BOUND, NEIGHBOURS, WORDS, PROTECT = range(1, 6)
"""The steps: what the rule ranks, how much it takes, and what is added, in this order."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of one side of some rows.

    Attributes:
        ids: the token ids, (tokens,), by response.
        vocabulary: the classes of the tokenizer's tokens, where a filter needs them.
    """

    ids: Ragged[np.int32]
    vocabulary: TokenClasses | None = None

    @property
    def classes(self) -> TokenClasses:
        if self.vocabulary is None:
            raise SepoError("a filter needs the texts of the tokens", "give the classes of the vocabulary")
        return self.vocabulary


@dataclass(frozen=True)
class Filter:
    """One filter with its value. Those of equal name and value are equal.

    Attributes:
        name: as in `FILTERS`.
        value: as the manifest records it.
        step: filters act in ascending order of their steps.
        ranked: from the tokens to (tokens,) booleans: those that the rule ranks.
        widened: from a mask and the tokens to (tokens,) booleans: the mask with what the filter adds, nothing across
            the bounds of the mask's lists: they are the responses, or for a control parts of them.
        min_tokens: the rule takes no fewer.
        max_tokens: the rule takes no more.
        needs_classes: `Tokens.classes` is read.
    """

    name: str
    value: str | int
    step: int
    ranked: Callable[[Tokens], Mask] | None = field(default=None, compare=False)
    widened: Callable[[Ragged[np.bool_], Tokens], Mask] | None = field(default=None, compare=False)
    min_tokens: int = 1
    max_tokens: int | None = None
    needs_classes: bool = False


@dataclass(frozen=True)
class FilterOption:
    """A registered filter: the function that makes it, and the option that the command has for it.

    Attributes:
        function: from its one argument to a `Filter`.
        kind: the type of the argument; a bool is a flag.
        help: one line.
        metavar: what help prints for the value, where the type says too little.
        minimum: the smallest number that is accepted.
    """

    function: Callable[..., Filter]
    kind: type[str | int | bool]
    help: str
    metavar: str | None = None
    minimum: int | None = None

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def module(self) -> str:
        return self.function.__module__

    @property
    def option(self) -> str:
        """The option on the command line: `--skip-tokens`."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def default(self) -> str | int | None:
        """The value with which there is no filter."""
        [parameter] = inspect.signature(self.function).parameters.values()
        default: str | int | None = parameter.default
        return default


FILTERS: Registry[FilterOption] = Registry("sepo_data.selection.filters", order=lambda entry: entry.name)
"""Every filter of `sepo select`, by the name of its function."""

F = TypeVar("F", bound="Callable[..., Filter]")


def filter_option(
    kind: type[str | int | bool],
    *,
    help: str,  # noqa: A002
    metavar: str | None = None,
    minimum: int | None = None,
) -> Callable[[F], F]:
    """Register a function of the folder `filters` that makes a filter; its name is the option's, with hyphens.

    The function has one parameter, whose default stands for no filter. The arguments are as in `FilterOption`.
    """

    def register(function: F) -> F:
        FILTERS.add(FilterOption(function, kind, help, metavar, minimum))
        return function

    return register


def filters_of(values: dict[str, str | int | None]) -> tuple[Filter, ...]:
    """The filters with these values, by name; those with the default value are left out."""
    return tuple(FILTERS[name].function(value) for name, value in values.items() if value != FILTERS[name].default)
