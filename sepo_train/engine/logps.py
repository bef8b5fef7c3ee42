"""Per-token log-probabilities: the one forward pass that scoring, oracle and training share."""

from __future__ import annotations

from collections import deque
from itertools import chain
from typing import TYPE_CHECKING

import torch
from accelerate.utils import extract_model_from_parallel
from accelerate.utils.memory import clear_device_cache

from sepo_data.errors import SepoError
from sepo_train.engine.attention import attention_inputs
from sepo_train.engine.head import head_logps
from sepo_train.engine.layout import batches_by_tokens, split_rows
from sepo_train.engine.prefix_cache import build_prefix_cache, common_prefix
from sepo_train.engine.threads import MAX_THREADS, on_cores
from sepo_train.models.device import default_device, is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from transformers import Cache, PreTrainedModel

    from sepo_train.engine.layout import Layout, Tree
    from sepo_train.engine.layout_policy import LayoutPolicy


def token_logps(
    model: torch.nn.Module, layout: Layout, prefix_cache: Cache | None = None, *, tile: int | None = None
) -> Tensor:
    """Log-probabilities of `layout.targets`, in fp32; see `head_logps`.

    Args:
        model: bare, or wrapped for parallel training.
        layout: rows of one or several trees.
        prefix_cache: keys and values of the cached prefix, where the layout has one.
        tile: positions that the head is run on at a time, see `head_logps`.

    Returns:
        (n,) log p(target i | prompt and the tokens of its response before it), natural logarithm.
    """
    if layout.one_row_at_a_time:
        return torch.cat([token_logps(model, row, tile=tile) for row in split_rows(layout)])
    bare = extract_model_from_parallel(model)
    layout = layout.to(bare.device)

    def run() -> Tensor:
        cache = {"use_cache": False} if prefix_cache is None else {"use_cache": True, "past_key_values": prefix_cache}
        return model(input_ids=layout.input_ids, **cache, **attention_inputs(bare, layout)).logits

    return head_logps(bare, run, layout.logit_positions, layout.targets, tile=tile)


@torch.no_grad()
def score_trees(
    model: PreTrainedModel,
    trees: Sequence[Tree],
    policy: LayoutPolicy,
    *,
    batch_tokens: int,
    on_out_of_memory: Callable[[int], None] | None = None,
) -> list[list[Tensor]]:
    """Log-probabilities of every target token of every response of every tree, on the CPU, without gradients.

    If a batch does not fit into memory, that one and all later ones have half the tokens; if a single tree does not,
    its responses are scored one by one.

    Args:
        model: in evaluation mode afterwards.
        trees: in any order.
        policy: how rows are laid out.
        batch_tokens: tokens in one forward pass; a longer tree has one of its own.
        on_out_of_memory: called with the reduced number of `batch_tokens`.

    Returns:
        One list a tree, of one (target tokens,) fp32 tensor a response.

    Raises:
        SepoError: a single response does not fit into memory.
    """
    model.eval()
    results: list[list[Tensor]] = [[] for _ in trees]
    prefix = common_prefix(trees) if policy.prefix_cache else []
    cache = build_prefix_cache(model, prefix) if prefix else None
    lengths = [policy.length(tree, prefix_tokens=len(prefix)) for tree in trees]

    @torch.no_grad()
    def fits(model: PreTrainedModel, batch: list[int]) -> bool:
        layout = policy.layout([trees[index] for index in batch], prefix_tokens=len(prefix))
        try:
            logps = token_logps(model, layout, cache if layout.prefix_tokens else None).cpu()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        responses = iter(logps.split(torch.bincount(layout.response, minlength=layout.responses).tolist()))
        for index in batch:
            results[index] = [next(responses).clone() for _ in trees[index].responses]
        return True

    batches = deque(batches_by_tokens(lengths, batch_tokens))
    threads = MAX_THREADS
    while failed := on_cores(fits, model, batches, max_threads=threads):
        clear_device_cache(garbage_collection=True)
        first = failed[0]
        if len(first) == len(trees[first[0]].responses) == 1:
            if threads > 1 and len(failed) + len(batches) > 1:
                threads = 1  # beside other batches it did not fit, alone it may
                batches.extendleft(reversed(failed))
                continue
            raise SepoError(
                f"a single row of {lengths[first[0]]} tokens does not fit into memory",
                "skip long pairs with --max-length, or use a smaller --dtype",
            )
        batch_tokens = min(batch_tokens, lengths[first[0]] * len(first) // 2)  # a long tree exceeds it alone
        if on_out_of_memory is not None:
            on_out_of_memory(batch_tokens)
        left = [*chain.from_iterable(failed), *chain.from_iterable(batches)]
        if len(first) == 1:
            single = trees[left.pop(0)].split()
            scores = score_trees(model, single, policy, batch_tokens=batch_tokens, on_out_of_memory=on_out_of_memory)
            results[first[0]] = [logps for [logps] in scores]
        parts = batches_by_tokens([lengths[index] for index in left], batch_tokens)
        batches = deque([left[place] for place in part] for part in parts)
    return results


def default_batch_tokens() -> int:
    """Tokens in one forward pass: 512 keep two CPU cores busy, an accelerator needs more."""
    return 512 if default_device().type == "cpu" else 16_384
