"""Random numbers that a forward pass draws: whether, and by which modules; and the generators kept as they are."""

from __future__ import annotations

import random
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch.nn import Module


@contextmanager
def random_numbers_kept(device: torch.device) -> Iterator[None]:
    """Leave the generators of torch, numpy and Python after the block as they were before."""
    devices = [] if device.type == "cpu" else [device]
    own, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - the one that models use
    try:
        with torch.random.fork_rng(devices, device_type="cuda" if device.type == "cpu" else device.type):
            yield
    finally:
        random.setstate(own)
        np.random.set_state(numpy_state)  # noqa: NPY002


def generator_states(device: torch.device) -> tuple[object, ...]:
    """The states of all generators that a pass on `device` may draw from, to compare with those of another time."""
    states = [torch.get_rng_state()]
    if device.type != "cpu":
        states.append(torch.get_device_module(device).get_rng_state(device))
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - the one that models use
    return random.getstate(), kind, np.asarray(keys).tobytes(), *rest, *(state.numpy().tobytes() for state in states)


def drawing_modules(model: Module, device: torch.device, run: Callable[[], object]) -> list[str]:
    """Classes of the innermost modules of `model` that draw random numbers while `run` makes a pass."""
    found: set[str] = set()
    entered: list[tuple[object, bool]] = []  # the states before each module at work, and whether one inside drew

    def enter(_module: Module, _args: object) -> None:
        entered.append((generator_states(device), False))

    def leave(module: Module, _args: object, _output: object) -> None:
        before, inside = entered.pop()
        drew = before != generator_states(device)
        if drew and not inside:
            found.add(type(module).__name__)
        if drew and entered:
            entered[-1] = (entered[-1][0], True)

    with ExitStack() as hooks:
        for module in model.modules():
            for handle in (module.register_forward_pre_hook(enter), module.register_forward_hook(leave)):
                hooks.callback(handle.remove)
        run()
    return sorted(found)
