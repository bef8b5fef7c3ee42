"""Per-token log-probabilities: the one function that scoring, oracle and training share."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from accelerate.utils import extract_model_from_parallel

from sepo_train.layout import Layout, Tree, batches_by_tokens, branch_mask, padded_layout, shared_layout
from sepo_train.models import default_device

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

TOLERANCE = 1e-3
"""How far any shared and plain log-probability may differ in fp32 before sharing is refused."""

TOLERANCE_16_BIT = 0.1
"""The same for the mean difference in 16-bit types, where rounding alone moves single tokens by 0.3."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How a model's rows are laid out: whether a prompt may be shared, up to which length, and why not."""

    shared_limit: int
    reason: str = ""

    @property
    def path(self) -> str:
        """What the manifest records."""
        return f"unshared: {self.reason}" if self.reason else "shared prompt"

    def layout(self, trees: Sequence[Tree]) -> Layout:
        """Lay out `trees`, sharing prompts where all their rows allow it."""
        if all(tree.shared_length <= self.shared_limit for tree in trees):
            return shared_layout(trees)
        return padded_layout(trees)


PLAIN = Engine(shared_limit=0, reason="not asked for")


def token_logps(model: torch.nn.Module, layout: Layout) -> Tensor:
    """Log-probabilities of `layout.targets`, in fp32.

    The model's own head runs, but on the predicting positions alone: soft-caps, scales and biases stay in charge, and
    logits exist only where a token is wanted.

    Returns:
        (n,) log p(target i | what stands before it), natural logarithm.
    """
    bare = extract_model_from_parallel(model)
    layout = layout.to(bare.device)
    if layout.shared:
        mask = branch_mask(layout.segments, _compute_dtype(bare))
        inputs = {"attention_mask": mask, "position_ids": layout.position_ids}
    else:
        inputs = {"attention_mask": (layout.segments >= 0).long()}
    with _head_on(bare, layout.predicting):
        logits = model(input_ids=layout.input_ids, use_cache=False, **inputs).logits[0].float()
    chosen = logits.gather(1, layout.targets[:, None]).squeeze(1)
    return chosen - logits.logsumexp(dim=1)


def _compute_dtype(model: PreTrainedModel) -> torch.dtype:
    """The type attention runs in, which an additive mask has to share."""
    kind = model.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else model.dtype


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
    lengths = [tree.shared_length for tree in trees]
    for batch in batches_by_tokens(lengths, batch_tokens):
        layout = engine.layout([trees[index] for index in batch])
        logps = token_logps(model, layout).cpu()
        parts = iter(logps.split(torch.bincount(layout.response, minlength=layout.responses).tolist()))
        for index in batch:
            results[index] = [next(parts).clone() for _ in trees[index].responses]
    return results


def choose_engine(models: Iterable[PreTrainedModel], trees: Sequence[Tree], *, batch_tokens: int) -> Engine:
    """Share prompts where every one of `models` computes the same with them shared, found out by trying both ways.

    A mask of our own replaces a sliding window, so rows longer than the window are never shared. Whatever else a model
    does (recurrence, ALiBi, a mask it reads differently) shows in the comparison.

    Args:
        models: those that the engine is for.
        trees: a few real ones.
        batch_tokens: as in the run to come.
    """
    engines = [_choose(model, trees, batch_tokens) for model in models]
    return min(engines, key=lambda engine: engine.shared_limit)


def _choose(model: PreTrainedModel, trees: Sequence[Tree], batch_tokens: int) -> Engine:
    engine = Engine(shared_limit=_attention_window(model))
    plain = [logps for tree in score_trees(model, trees, PLAIN, batch_tokens=1) for logps in tree]
    try:
        shared = [logps for tree in score_trees(model, trees, engine, batch_tokens=batch_tokens) for logps in tree]
    except Exception as error:  # noqa: BLE001 - a model's own code may fail in any way on a mask it does not know
        return Engine(shared_limit=0, reason=f"the model refuses a shared prompt ({type(error).__name__})")
    change = (torch.cat(plain) - torch.cat(shared)).abs()
    exact = change.max() <= TOLERANCE if model.dtype is torch.float32 else change.mean() <= TOLERANCE_16_BIT
    if not exact:
        return Engine(shared_limit=0, reason=f"a shared prompt changes log-probabilities by up to {change.max():.2g}")
    return engine


def default_batch_tokens() -> int:
    """Tokens in one forward pass: 512 keeps two CPU cores busy, an accelerator wants more."""
    return 512 if default_device().type == "cpu" else 16_384


def _attention_window(model: PreTrainedModel) -> int:
    config = model.config.get_text_config()
    windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size", "window_size")]
    return min((window for window in windows if isinstance(window, int) and window > 0), default=1 << 40)
