"""Processes that train together, started by `torchrun` or `accelerate launch`: who writes, and what they agree on."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import torch
from accelerate import PartialState
from accelerate.utils import gather_object

from sepo_data.stages.directory import read_manifest, working_alone
from sepo_train.engine.choose import Engine, choose_engine
from sepo_train.engine.logps import default_batch_tokens
from sepo_train.models.load import default_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from transformers import PreTrainedModel

    from sepo_data.schemas.manifest import Manifest
    from sepo_train.engine.layout import Tree


def processes() -> PartialState:
    """The processes of this run, or this one alone."""
    return PartialState(cpu=default_device().type == "cpu")


def is_main_process() -> bool:
    """Whether this process is the one that writes."""
    return bool(processes().is_main_process)


@contextmanager
def working_together(out: Path, plan: Manifest, *, overwrite: bool) -> Iterator[Manifest]:
    """`working_alone` for all processes of a run: the main one starts or replaces `out`, the others find it so."""
    with ExitStack() as stack:
        with processes().main_process_first():
            if is_main_process():
                manifest = stack.enter_context(working_alone(out, plan, overwrite=overwrite))
            else:
                manifest = read_manifest(out)
        yield manifest


def choose_engine_together(model: PreTrainedModel, trees: Sequence[Tree]) -> Engine:
    """`choose_engine`, the same for all processes: the pairs of a step are dealt out by how long their rows are."""
    engine = choose_engine([model], trees, batch_tokens=default_batch_tokens())
    processes()  # makes the group in which they gather
    found: list[Engine] = gather_object([engine])
    if len(set(found)) == 1:
        return engine
    return Engine(
        shared_limit=0,
        reason="the processes found different layouts exact",
        padded_limit=min(engine.padded_limit for engine in found),
    )


def leave_together() -> None:
    """End the group of processes that trained together; its threads, cut off at exit, may abort a process."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
