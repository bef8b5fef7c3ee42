"""Per-token log-probabilities: the one function that scoring, oracle and training share."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import torch
from accelerate.utils import extract_model_from_parallel

from schemas.errors import SepoError
from sepo_train.layout import Layout, Tree, batches_by_tokens, branch_mask, padded_layout, shared_layout
from sepo_train.models import default_device

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

CHECKED_TREES = 4
"""On how many trees the shared and the plain layout are compared."""

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

    def length(self, tree: Tree) -> int:
        """Tokens that `tree` takes in a batch."""
        return tree.shared_length if tree.shared_length <= self.shared_limit else tree.padded_length

    def layout(self, trees: Sequence[Tree]) -> Layout:
        """Lay out `trees`, sharing prompts where all their rows allow it."""
        if all(tree.shared_length <= self.shared_limit for tree in trees):
            return shared_layout(trees)
        return padded_layout(trees)


NO_WINDOW = 1 << 40

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


def choose_engine(models: Iterable[PreTrainedModel], trees: Sequence[Tree], *, batch_tokens: int) -> Engine:
    """Share prompts where every one of `models` computes the same with them shared, found out by trying both ways.

    A mask of our own replaces a sliding window, so rows longer than the window are never shared. Whatever else a model
    does (recurrence, ALiBi, a mask it reads differently) shows in the comparison.

    Args:
        models: those that the engine is for.
        trees: real ones, of which the first few are tried that can tell.
        batch_tokens: as in the run to come.
    """
    engines = [_choose(model, trees, batch_tokens) for model in models]
    return min(engines, key=lambda engine: engine.shared_limit)


def _choose(model: PreTrainedModel, trees: Sequence[Tree], batch_tokens: int) -> Engine:
    engine = Engine(shared_limit=_attention_window(model))
    # Where one response at most is fed, sharing cannot go wrong; rows beyond the window are not shared.
    telling = (
        tree
        for tree in trees
        if tree.shared_length <= engine.shared_limit and all(map(tree.inputs, range(len(tree.responses))))
    )
    found = (
        (tree, score_trees(model, [tree], PLAIN, batch_tokens=1)[0]) for tree in islice(telling, 4 * CHECKED_TREES)
    )
    # Scoring sets pairs aside that give NaN, which in a shared row spreads to the other responses.
    checked = list(islice(((tree, logps) for tree, logps in found if torch.cat(logps).isfinite().all()), CHECKED_TREES))
    if not checked:
        window = f" within the attention window of {engine.shared_limit}" if engine.shared_limit < NO_WINDOW else ""
        return Engine(shared_limit=0, reason=f"no pair{window} to try a shared prompt on")
    plain = torch.cat([logps for _, responses in checked for logps in responses])
    try:
        scores = score_trees(model, [tree for tree, _ in checked], engine, batch_tokens=batch_tokens)
    except Exception as error:  # noqa: BLE001 - a model's own code may fail in any way on a mask it does not know
        return Engine(shared_limit=0, reason=f"the model refuses a shared prompt ({type(error).__name__})")
    change = (plain - torch.cat([logps for responses in scores for logps in responses])).abs()
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
    return min((window for window in windows if isinstance(window, int) and window > 0), default=NO_WINDOW)
