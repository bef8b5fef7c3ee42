"""The registry of losses: `loss` reads a function's signature and docstring."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from sepo_data.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

    from sepo_train.engine.pair_logps import SideLogps

Tensor: TypeAlias = "torch.Tensor"
"""Torch's tensor, named without importing torch."""

_Function = TypeVar("_Function", bound="Callable[..., Tensor]")

SIDE = ("sums", "means", "ref_sums", "ref_means")
"""Log-probabilities of one response of each pair, (pairs,): the attributes of `SideLogps`."""

TENSORS = {
    f"{'ref_' if name.startswith('ref_') else ''}{side}_{name.removeprefix('ref_')}": (side, name)
    for side in ("chosen", "rejected")
    for name in SIDE
}
"""The tensors that a loss may be of: `chosen_sums`, ..., `ref_rejected_means`; each with its side and attribute."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that a loss can be given, an option of `sepo train`.

    Attributes:
        help: its meaning, for the option's help.
        positive: whether it has to be above 0.
        default: its value where none is given, read from the signature of the loss.
    """

    help: str
    positive: bool = False
    default: float = 0.0


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss by its name.

    Attributes:
        name: that of its function without `_loss`, with hyphens.
        function: (pairs,) tensors of `TENSORS`, by name, and its parameters to (pairs,).
        reward: (pairs,) tensors of `SIDE`, by name, and parameters to the implicit reward of one response, (pairs,).
        parameters: its numbers, by name.
        formula: of one pair.
        source: the paper and its equation.
    """

    name: str
    function: Callable[..., Tensor]
    reward: Callable[..., Tensor]
    parameters: Mapping[str, Parameter]
    formula: str
    source: str

    @property
    def module(self) -> str:
        return self.function.__module__

    @property
    def needs_reference(self) -> bool:
        """True if it compares with a reference model."""
        return any(name.startswith("ref_") for name in _names(self.function))

    def of(self, chosen: SideLogps, rejected: SideLogps, values: Mapping[str, float]) -> Tensor:
        """The loss of each pair, (pairs,)."""
        sides = {"chosen": chosen, "rejected": rejected}
        tensors = {name: getattr(sides[side], of) for name, (side, of) in TENSORS.items()}
        return _call(self.function, {**values, **tensors})

    def reward_of(self, side: SideLogps, values: Mapping[str, float]) -> Tensor:
        """The implicit reward of one response of each pair, (pairs,)."""
        return _call(self.reward, {**values, **{name: getattr(side, name) for name in SIDE}})


LOSSES: Registry[Loss] = Registry("sepo_train.training.losses", order=lambda entry: entry.module)
"""Every loss, by the name that `--loss` takes: by module, then by place in the file."""


def loss(*, reward: Callable[..., Tensor], **parameters: Parameter) -> Callable[[_Function], _Function]:
    """Register the decorated function NAME_loss as the loss NAME, with hyphens.

    Its positional parameters are tensors of `TENSORS`, its keyword-only ones are numbers with defaults. The first line
    of its docstring reads "FORMULA: SOURCE".

    Args:
        reward: the implicit reward of a response, whose margin the loss pushes apart: a function of tensors of `SIDE`
            and of parameters, by name.
        parameters: the meaning of each number: `positive("...")` or `number("...")`.

    Raises:
        TypeError: a name is unknown, a number has no meaning or no default, or the docstring is not of that form.
        ValueError: another module has registered this name.
    """

    def register(function: _Function) -> _Function:
        name = function.__name__.removesuffix("_loss").replace("_", "-")
        numbers = {key: value for key, value in inspect.signature(function).parameters.items() if key not in TENSORS}
        formula, colon, source = (inspect.getdoc(function) or "").partition("\n")[0].partition(": ")
        if unknown := [key for key in _names(reward) if key not in (*SIDE, *numbers)]:
            raise TypeError(f"the reward of {name} cannot be a function of {unknown[0]}, only of {', '.join(SIDE)}")
        if missing := [key for key, value in numbers.items() if value.default is value.empty]:
            raise TypeError(f"{missing[0]} of {name} has no default, and is none of {', '.join(TENSORS)}")
        if numbers.keys() != parameters.keys():
            raise TypeError(f"{name} has the parameters {', '.join(numbers)}; documented: {', '.join(parameters)}")
        if not colon:
            raise TypeError(f"the first line of the docstring of {name} is not of the form FORMULA: SOURCE")
        made = {key: Parameter(given.help, given.positive, numbers[key].default) for key, given in parameters.items()}
        LOSSES.add(Loss(name, function, reward, made, formula, source.rstrip(".")))
        return function

    return register


def number(meaning: str) -> Parameter:
    """A parameter that may be any finite number."""
    return Parameter(meaning)


def positive(meaning: str) -> Parameter:
    """A parameter above 0."""
    return Parameter(meaning, positive=True)


def log_sigmoid(x: Tensor) -> Tensor:
    """log(1 / (1 + exp(-x))) without overflow."""
    from torch.nn.functional import logsigmoid

    return logsigmoid(x)


def _names(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def _call(function: Callable[..., Tensor], values: Mapping[str, Any]) -> Tensor:
    return function(**{name: values[name] for name in _names(function)})
