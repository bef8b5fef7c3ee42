"""Whether a model computes the same with a prompt shared by its responses: found out by trying both ways."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import torch

from sepo_train.layout import Layout, Tree, padded_layout, shared_layout
from sepo_train.logps import score_trees

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


def _attention_window(model: PreTrainedModel) -> int:
    config = model.config.get_text_config()
    windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size", "window_size")]
    return min((window for window in windows if isinstance(window, int) and window > 0), default=NO_WINDOW)
