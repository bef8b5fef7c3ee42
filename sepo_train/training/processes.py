"""Processes that train together, started by `torchrun` or `accelerate launch`: one writes, all agree on a layout."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import torch
from accelerate import PartialState
from accelerate.utils import gather_object

from sepo_data.stages.directory import read_manifest
from sepo_data.stages.runs import exclusive_run
from sepo_train.engine.choose import CHECKED_PAIRS, choose_layout_policy
from sepo_train.engine.layout import Tree
from sepo_train.engine.layout_policy import LayoutPolicy
from sepo_train.engine.logps import default_batch_tokens
from sepo_train.models.device import default_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from transformers import PreTrainedModel

    from sepo_data.schemas.manifest import Manifest
    from sepo_train.training.selected_pairs import SelectedPairs


def processes() -> PartialState:
    """The processes of this run, or this one alone."""
    return PartialState(cpu=default_device().type == "cpu")


def is_main_process() -> bool:
    """True if this process writes the run's files."""
    return bool(processes().is_main_process)


@contextmanager
def joint_run(out: Path, plan: Manifest, *, overwrite: bool) -> Iterator[Manifest]:
    """`exclusive_run` for all processes of a run: the main one starts or replaces `out`, then the others read it."""
    with ExitStack() as stack:
        with processes().main_process_first():
            if is_main_process():
                manifest = stack.enter_context(exclusive_run(out, plan, overwrite=overwrite))
            else:
                manifest = read_manifest(out)
        yield manifest


def agree_on_layout(model: PreTrainedModel, trees: Sequence[Tree]) -> LayoutPolicy:
    """`choose_layout_policy` for all processes alike: they divide the pairs of a step by the lengths of their rows."""
    own = choose_layout_policy([model], trees, batch_tokens=default_batch_tokens())
    processes()  # starts the process group that gathers
    found: list[LayoutPolicy] = gather_object([own])
    if len(set(found)) == 1:
        return own
    return LayoutPolicy(
        shared_limit=0,
        reason="the processes found different layouts exact",
        padded_limit=min(policy.padded_limit for policy in found),
    )


def telling_trees(pairs: SelectedPairs, held_out: SelectedPairs) -> list[Tree]:
    """The trees on which a layout is tested: the first to train on, the longest and the shortest, the longest held out.

    The last one has all of its tokens, as it is evaluated.
    """
    lengths = pairs.lengths
    ends = lengths.index(max(lengths)), lengths.index(min(lengths))
    trees = [pairs[place].tree for place in dict.fromkeys([*range(min(CHECKED_PAIRS, len(pairs))), *ends])]
    if held_out:
        lengths = held_out.lengths
        longest = held_out[lengths.index(max(lengths))].tree
        trees.append(Tree(longest.prompt_ids, longest.responses))
    return trees


def end_process_group() -> None:
    """End the process group of a training run; its threads, cut off at exit, may abort a process."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
