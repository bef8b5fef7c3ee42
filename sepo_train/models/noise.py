"""Noise of training mode, such as dropout or the jitter of routers: off in training, kept in what is saved."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch.nn.modules.dropout import _DropoutNd
from transformers import PretrainedConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedModel

Number: TypeAlias = tuple[Any, str, float]
"""A number that a module or a configuration keeps: its owner, its name, its value."""

_DROPPED = re.compile("drop")
_JITTER = re.compile("jitter|noise")

_CONSPICUOUS = 0.5
"""A jitter that shows wherever it is used."""

_TOKENS = 16

_configured: WeakKeyDictionary[Module, list[Number]] = WeakKeyDictionary()
"""Numbers of the configurations of a model before its noise was switched off."""


def switch_off_noise(model: PreTrainedModel) -> None:
    """Set every dropout, jitter and share of skipped layers of `model` to 0: DPO trains without.

    A reward or loss that changes from pass to pass is noise. A number that evaluation mode uses, too, is none and
    stays. `noise_as_configured` has the values of the configurations as they were.
    """
    configs = list(_configs(model.config))
    # Modules keep the probability in an attribute, or read it from the configuration in every pass.
    owners = (*configs, *model.modules())
    dropout, jitter = (_numbers(owners, names) for names in (_DROPPED, _JITTER))
    off = dropout if _used_in_evaluation(model, jitter) else [*dropout, *jitter]
    _configured[model] = [number for number in off if isinstance(number[0], PretrainedConfig)]
    for module in model.modules():
        if isinstance(module, _DropoutNd):
            module.p = 0.0
    _set(off, 0.0)


@contextmanager
def noise_as_configured(model: Module) -> Iterator[None]:
    """Within the block, the configurations of `model` have what they had before `switch_off_noise`."""
    bare = getattr(model, "get_base_model", lambda: model)()  # without the wrapper of adapters
    numbers = _configured.get(bare, [])
    _restore(numbers)
    try:
        yield
    finally:
        _set(numbers, 0.0)


def _configs(config: PretrainedConfig) -> Iterator[PretrainedConfig]:
    """`config` and those of the parts of its model."""
    yield config
    for part in vars(config).values():
        if isinstance(part, PretrainedConfig):
            yield from _configs(part)


def _numbers(owners: Sequence[object], names: re.Pattern[str]) -> list[Number]:
    return [
        (owner, name, value)
        for owner in owners
        for name, value in vars(owner).items()
        if isinstance(value, float) and names.search(name)
    ]


@torch.no_grad()
def _used_in_evaluation(model: PreTrainedModel, numbers: Sequence[Number]) -> bool:
    """True if `model` computes something else in evaluation mode where `numbers` are others."""
    if not any(value for _, _, value in numbers):
        return False
    text = model.config.get_text_config()
    ids = torch.arange(_TOKENS, device=model.device)[None] % text.vocab_size

    def logits() -> Tensor:
        return model.eval()(input_ids=ids, use_cache=False).logits

    before = logits()
    _set(numbers, _CONSPICUOUS)
    try:
        return not torch.equal(logits(), before)
    finally:
        _restore(numbers)


def _set(numbers: Sequence[Number], value: float) -> None:
    for owner, name, _ in numbers:
        setattr(owner, name, value)


def _restore(numbers: Sequence[Number]) -> None:
    for owner, name, value in numbers:
        setattr(owner, name, value)
