"""Per-token log-probabilities: the one function that scoring, oracle and training share."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from accelerate.utils import extract_model_from_parallel

from schemas.errors import SepoError
from sepo_train.attention import attention_inputs
from sepo_train.layout import Layout, Tree, batches_by_tokens
from sepo_train.models import default_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

    from sepo_train.engine import Engine


def token_logps(model: torch.nn.Module, layout: Layout) -> Tensor:
    """Log-probabilities of `layout.targets`, in fp32.

    The model's own head runs, but on the predicting positions alone: soft-caps, scales and biases stay in charge, and
    logits exist only where a token is wanted.

    Returns:
        (n,) log p(target i | what stands before it), natural logarithm.
    """
    bare = extract_model_from_parallel(model)
    layout = layout.to(bare.device)
    with _head_on(bare, layout.predicting):
        logits = model(input_ids=layout.input_ids, use_cache=False, **attention_inputs(bare, layout)).logits[0].float()
    chosen = logits.gather(1, layout.targets[:, None]).squeeze(1)
    return chosen - logits.logsumexp(dim=1)


@contextmanager
def _head_on(model: PreTrainedModel, positions: Tensor) -> Iterator[None]:
    """Within the block, the output head sees only `positions` of the flattened rows, as one row."""

    def gather(_head: torch.nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden, *rest = args
        return (hidden.flatten(0, 1)[positions].unsqueeze(0), *rest)

    handle = model.get_output_embeddings().register_forward_pre_hook(gather)
    try:
        yield
    finally:
        handle.remove()


@torch.inference_mode()
def score_trees(
    model: PreTrainedModel, trees: Sequence[Tree], engine: Engine, *, batch_tokens: int
) -> list[list[Tensor]]:
    """Log-probabilities of every wanted token of every response of every tree, on the CPU, without gradients.

    Returns:
        One list a tree, of one (wanted tokens,) fp32 tensor a response.
    """
    model.eval()
    results: list[list[Tensor]] = [[] for _ in trees]
    batches = batches_by_tokens([engine.length(tree) for tree in trees], batch_tokens)[::-1]
    while batches:
        batch = batches.pop()
        layout = engine.layout([trees[index] for index in batch])
        try:
            logps = token_logps(model, layout).cpu()
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise SepoError(
                    f"a single pair of {engine.length(trees[batch[0]])} tokens does not fit into memory",
                    "set long pairs aside with --max-length, or use a smaller --dtype",
                ) from None
            middle = len(batch) // 2
            batches += [batch[middle:], batch[:middle]]
            continue
        parts = iter(logps.split(torch.bincount(layout.response, minlength=layout.responses).tolist()))
        for index in batch:
            results[index] = [next(parts).clone() for _ in trees[index].responses]
    return results


def default_batch_tokens() -> int:
    """Tokens in one forward pass: 512 keeps two CPU cores busy, an accelerator wants more."""
    return 512 if default_device().type == "cpu" else 16_384
