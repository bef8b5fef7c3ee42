"""Use several CPU cores: one thread for each, with a copy of the model that shares its weights.

Two threads with a batch each keep two cores busier than two threads within every operator do: elementwise work of one
batch runs beside matrix products of the other, and no thread waits at the end of each operator.
"""

from __future__ import annotations

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import torch

from sepo_train.models.weight_changes import changes_weights

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from transformers import PreTrainedModel

Item = TypeVar("Item")

MAX_THREADS = 16
"""With more threads, Python's own share of the work begins to queue."""


def on_cores(
    do: Callable[[PreTrainedModel, Item], bool],
    model: PreTrainedModel,
    items: deque[Item],
    *,
    max_threads: int = MAX_THREADS,
) -> list[Item]:
    """Run `do` on each item from the left, one thread a core, until all are done or one fails.

    On an accelerator, or in one of several processes that train together, one thread uses `model` itself; so it does
    where passes change the weights, which every copy would do once more.

    Args:
        do: called in threads, each with a model of its own; returns False if it failed for now.
        model: in evaluation mode and not changed meanwhile.
        items: started ones are removed.
        max_threads: threads at a time.

    Returns:
        The items that were started and failed.
    """
    total = torch.get_num_threads()
    threaded = model.device.type == "cpu" and not torch.distributed.is_initialized() and not changes_weights(model)
    workers = min(total, len(items), max_threads) if threaded else 1
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
                with torch.autocast(kind, dtype, enabled=autocast):  # a new thread does not inherit it
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
        torch.set_num_threads(total)  # the smaller number would stay for the process
    return failed


def with_same_weights(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of `model` with modules of its own and the very same parameters and buffers.

    But for the buffers that are not saved: passes write into these, as LongRoPE writes the frequencies for a length.
    """
    saved = model.state_dict(keep_vars=True).values()
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), saved)}
    return copy.deepcopy(model, shared)
