"""Weights that a model's own passes change: RWKV divides some of its weights at the first one, in place.

A copy that shares its weights would divide them again, and a checkpoint of the changed weights would be another model.
So the bytes of all weights are summed before and after the first pass, and again after every part of a run. That reads
the memory once: about 0.1 s a gigabyte on a CPU.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakKeyDictionary

import torch

from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor
    from transformers import PreTrainedModel

Sums: TypeAlias = "dict[str, int]"
"""The sum of the bytes of each parameter and of each buffer that is saved, by name."""

_CANNOT_RUN = "use another implementation of the model, or report it"

_stored: WeakKeyDictionary[torch.nn.Module, Sums] = WeakKeyDictionary()
"""Of the models that change their weights, those that they were loaded with."""

_settled: WeakKeyDictionary[torch.nn.Module, Sums] = WeakKeyDictionary()
"""Of each model, those after its first pass."""


@contextmanager
def first_pass(model: PreTrainedModel) -> Iterator[None]:
    """Notice whether the first pass of `model`, which is made in the block, changes its weights."""
    before = weight_sums(model)
    yield
    _settled[model] = weight_sums(model)
    if _changed(before, _settled[model]):
        _stored[model] = before


def changes_weights(model: torch.nn.Module) -> bool:
    """True if the first pass of `model` changed its weights in place."""
    return model in _stored


def check_kept(model: PreTrainedModel) -> None:
    """Raise if passes have changed the weights of `model`, as `load_model` returned it, since the first one."""
    if model in _settled:
        _check(model, _settled[model])


@contextmanager
def kept_weights(model: PreTrainedModel) -> Iterator[None]:
    """Raise if the block, in which `model` only computes, changes its weights."""
    _run(model.eval())
    before = weight_sums(model)
    yield
    _check(model, before)


def to_stored_weights(model: PreTrainedModel) -> None:
    """Put a model that changes its weights back to those that a checkpoint holds, which it has in training mode.

    Raises:
        SepoError: nothing puts them back.
    """
    if changes_weights(model):
        _run(model.train())


def check_trainable(model: PreTrainedModel, name: str) -> None:
    """Raise if `model`, loaded from `name` and not trained yet, changes its weights and nothing puts them back."""
    to_stored_weights(model)
    if changes_weights(model) and (changed := _changed(_stored[model], weight_sums(model))):
        raise SepoError(
            f"{name} changes its own weights when it runs ({changed[0]}), and nothing puts them back: what was trained "
            "could not be saved",
            _CANNOT_RUN,
        )


def refuse_adapter(model: PreTrainedModel, name: str) -> None:
    """Raise if `model`, loaded from `name`, changes its weights: those of an adapter on top would stay as they are."""
    if changes_weights(model):
        raise SepoError(
            f"{name} changes its own weights when it runs, but not those of an adapter on top of it, which would be "
            "another model than the one that was trained",
            "merge the adapter into the weights as they are stored, and name the merged model; train without --lora-r",
        )


def weight_sums(model: torch.nn.Module) -> Sums:
    """The sums of `model` as it is; 0 for tensors whose bytes this process does not have."""
    return {name: _sum_of_bytes(tensor) for name, tensor in model.state_dict(keep_vars=True).items()}


def _sum_of_bytes(tensor: object) -> int:
    if not isinstance(tensor, torch.Tensor) or not tensor.numel():
        return 0
    try:
        flat: Tensor = tensor.detach().reshape(-1).view(torch.uint8)
        # Eight bytes at a time are ten times as fast.
        aligned = len(flat) % 8 == 0 and flat.storage_offset() % 8 == 0
        return int((flat.view(torch.int64) if aligned else flat).sum())
    except (RuntimeError, TypeError, NotImplementedError):
        return 0  # on no device here, or of a package of its own


def _changed(before: Sums, after: Sums) -> list[str]:
    """The names of the weights that are others now."""
    return [name for name, total in before.items() if after.get(name, total) != total]


def _check(model: PreTrainedModel, before: Sums) -> None:
    if changed := _changed(before, weight_sums(model)):
        raise SepoError(
            f"a {type(model).__name__} changed its own weights while it computed ({changed[0]}"
            f"{f' and {len(changed) - 1:,} others' if changed[1:] else ''}), so that its numbers depend on what came "
            "before",
            _CANNOT_RUN,
        )


@torch.no_grad()
def _run(model: PreTrainedModel) -> None:
    model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=model.device), use_cache=False)
