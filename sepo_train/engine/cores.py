"""Work on several CPU cores at a time: a thread for each, with a copy of the model that shares its weights.

Two threads with a batch each keep two cores busier than two threads within every operator do: elementwise work of one
batch runs beside matrix products of the other, and nobody waits at the end of each operator.
"""

from __future__ import annotations

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from transformers import PreTrainedModel

Item = TypeVar("Item")

MOST = 16
"""Threads at a time; with more, Python's own share of the work begins to queue."""


def on_cores(
    do: Callable[[PreTrainedModel, Item], bool], model: PreTrainedModel, items: deque[Item], *, most: int = MOST
) -> list[Item]:
    """`do` what is in `items`, from the left, until nothing is left or something could not be done.

    An accelerator, or one of several processes that train together, does one after the other, with `model` itself.

    Args:
        do: called in threads, each with a model of its own; False where it could not be done now.
        model: in evaluation mode and not changed meanwhile.
        items: those that were begun are taken out.
        most: threads at a time.

    Returns:
        Those that were begun and could not be done.
    """
    total = torch.get_num_threads()
    alone = model.device.type == "cpu" and not torch.distributed.is_initialized()
    workers = min(total, len(items), most) if alone else 1
    stop, failed = threading.Event(), []

    kind = model.device.type
    autocast, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)

    def work(own: PreTrainedModel) -> None:
        while items and not stop.is_set():
            try:
                item = items.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                with torch.autocast(kind, dtype, enabled=autocast):  # a thread begins without that of its maker
                    done = do(own, item)
            except BaseException:
                stop.set()
                raise
            if not done:
                failed.append(item)
                stop.set()

    if workers <= 1:
        work(model)
        return failed
    models = [model, *(with_same_weights(model) for _ in range(workers - 1))]
    try:
        with ThreadPoolExecutor(workers, initializer=partial(torch.set_num_threads, -(-total // workers))) as pool:
            try:
                for done in [pool.submit(work, own) for own in models]:
                    done.result()
            finally:
                stop.set()
    finally:
        torch.set_num_threads(total)  # a part of it holds for the whole process
    return failed


def with_same_weights(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of `model` with modules of its own and the very same parameters and buffers."""
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    return copy.deepcopy(model, shared)
