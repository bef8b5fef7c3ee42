"""Compare the weights of two models in their files: copies in other files, or in another number type, are the same."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open

from sepo_train.models.files import adapter_base, load_config, resolve
from sepo_train.models.weights import weight_files

if TYPE_CHECKING:
    from torch import Tensor


def same_weights(first: str, second: str, *, trust_remote_code: bool = False) -> bool:
    """True if two complete models on this machine have the same weights, rounded to the coarser number type of the two.

    The smallest tensors are compared first, and none after one that differs: where one model was trained from the
    other, that is one of the first. Adapters and models on the Hub count as different.
    """
    names = (first, second)
    # A folder that is gone is no name to ask the Hub for.
    if not all(Path(resolve(name)).is_dir() and adapter_base(name) is None for name in names):
        return False
    with ExitStack() as stack:
        ours, theirs = (_tensors(name, stack, trust_remote_code=trust_remote_code) for name in names)
        shared = ours.keys() & theirs.keys()
        # Tied weights may be in one of the two alone.
        if not shared or len(shared) < min(len(ours), len(theirs)):
            return False
        return all(
            _equal(ours[name].get_tensor(name), theirs[name].get_tensor(name)) for name in _by_size(shared, ours)
        )


def _tensors(name: str, stack: ExitStack, *, trust_remote_code: bool) -> dict[str, Any]:
    """The open weight file of each tensor of the model `name`."""
    config = load_config(name, trust_remote_code=trust_remote_code)
    files = weight_files(Path(resolve(name)), getattr(config, "transformers_weights", None))
    opened = [stack.enter_context(safe_open(file, framework="pt")) for file in files]
    return {tensor: file for file in opened for tensor in file.keys()}  # noqa: SIM118 - it is no mapping


def _by_size(names: set[str], files: dict[str, Any]) -> list[str]:
    def size(name: str) -> int:
        return torch.Size(files[name].get_slice(name).get_shape()).numel()

    return sorted(names, key=lambda name: (size(name), name))


def _equal(first: Tensor, second: Tensor) -> bool:
    coarser = min(first.dtype, second.dtype, key=lambda dtype: dtype.itemsize)
    return torch.equal(first.to(coarser), second.to(coarser))
