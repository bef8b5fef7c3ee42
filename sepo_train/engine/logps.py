"""Per-token log-probabilities: the one function that scoring, oracle and training share."""

from __future__ import annotations

from collections import deque
from itertools import chain
from typing import TYPE_CHECKING

import torch
from accelerate.utils import extract_model_from_parallel
from accelerate.utils.memory import clear_device_cache

from sepo_data.errors import SepoError
from sepo_train.engine.attention import attention_inputs
from sepo_train.engine.cores import MOST, on_cores
from sepo_train.engine.head import head_logps
from sepo_train.engine.layout import batches_by_tokens, rows_apart
from sepo_train.engine.prefix_cache import common_preamble, preamble_cache
from sepo_train.models.load import default_device, is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from transformers import Cache, PreTrainedModel

    from sepo_train.engine.choose import Engine
    from sepo_train.engine.layout import Layout, Tree


def token_logps(
    model: torch.nn.Module, layout: Layout, before: Cache | None = None, *, tile: int | None = None
) -> Tensor:
    """Log-probabilities of `layout.targets`, in fp32; see `head_logps`.

    Args:
        model: as it is, or wrapped for parallel training.
        layout: rows of one or several trees.
        before: the keys and values of the layout's preamble, where it has one.
        tile: positions that the head is run on at a time, see `head_logps`.

    Returns:
        (n,) log p(target i | what stands before it), natural logarithm.
    """
    if layout.alone:
        return torch.cat([token_logps(model, row, tile=tile) for row in rows_apart(layout)])
    bare = extract_model_from_parallel(model)
    layout = layout.to(bare.device)

    def run() -> Tensor:
        past = {"use_cache": False} if before is None else {"use_cache": True, "past_key_values": before}
        return model(input_ids=layout.input_ids, **past, **attention_inputs(bare, layout)).logits

    return head_logps(bare, run, layout.predicting, layout.targets, tile=tile)


@torch.no_grad()
def score_trees(
    model: PreTrainedModel,
    trees: Sequence[Tree],
    engine: Engine,
    *,
    batch_tokens: int,
    on_out_of_memory: Callable[[int], None] | None = None,
) -> list[list[Tensor]]:
    """Log-probabilities of every wanted token of every response of every tree, on the CPU, without gradients.

    Where a batch does not fit into memory, that one and all that follow have half the tokens; where a single tree does
    not, its responses are scored apart.

    Args:
        model: in evaluation mode afterwards.
        trees: what is scored, in any order.
        engine: how rows are laid out.
        batch_tokens: tokens in one forward pass; a longer tree has one of its own.
        on_out_of_memory: told the tokens that remain of `batch_tokens` when it was too much.

    Returns:
        One list a tree, of one (wanted tokens,) fp32 tensor a response.

    Raises:
        SepoError: a single response does not fit into memory.
    """
    model.eval()
    results: list[list[Tensor]] = [[] for _ in trees]
    preamble = common_preamble(trees) if engine.preamble else []
    before = preamble_cache(model, preamble) if preamble else None
    lengths = [engine.length(tree, preamble=len(preamble)) for tree in trees]

    @torch.no_grad()
    def fits(model: PreTrainedModel, batch: list[int]) -> bool:
        layout = engine.layout([trees[index] for index in batch], preamble=len(preamble))
        try:
            logps = token_logps(model, layout, before if layout.preamble else None).cpu()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        responses = iter(logps.split(torch.bincount(layout.response, minlength=layout.responses).tolist()))
        for index in batch:
            results[index] = [next(responses).clone() for _ in trees[index].responses]
        return True

    batches = deque(batches_by_tokens(lengths, batch_tokens))
    at_a_time = MOST
    while failed := on_cores(fits, model, batches, most=at_a_time):
        clear_device_cache(garbage_collection=True)
        first = failed[0]
        if len(first) == len(trees[first[0]].responses) == 1:
            if at_a_time > 1 and len(failed) + len(batches) > 1:
                at_a_time = 1  # together with others it was too much, alone it may not be
                batches.extendleft(reversed(failed))
                continue
            raise SepoError(
                f"a single row of {lengths[first[0]]} tokens does not fit into memory",
                "set long pairs aside with --max-length, or use a smaller --dtype",
            )
        batch_tokens = min(batch_tokens, lengths[first[0]] * len(first) // 2)  # a long tree exceeds it alone
        if on_out_of_memory is not None:
            on_out_of_memory(batch_tokens)
        left = [*chain.from_iterable(failed), *chain.from_iterable(batches)]
        if len(first) == 1:
            apart = trees[left.pop(0)].apart()
            scores = score_trees(model, apart, engine, batch_tokens=batch_tokens, on_out_of_memory=on_out_of_memory)
            results[first[0]] = [logps for [logps] in scores]
        parts = batches_by_tokens([lengths[index] for index in left], batch_tokens)
        batches = deque([left[place] for place in part] for part in parts)
    return results


def default_batch_tokens() -> int:
    """Tokens in one forward pass: 512 keeps two CPU cores busy, an accelerator wants more."""
    return 512 if default_device().type == "cpu" else 16_384
