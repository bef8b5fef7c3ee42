"""Refuse a model that sees the future: tokens that follow change the log-probabilities of those before them."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle, islice
from typing import TYPE_CHECKING

import torch

from sepo_data.errors import SepoError
from sepo_train.engine.layout import Tree, padded_layout
from sepo_train.engine.layout_check import ROW_COPIES, change_size, is_16_bit
from sepo_train.engine.logps import token_logps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

COMPARED_TOKENS = 4
"""Tokens before each cut that are compared: the nearest see most of what follows, if a model sees any of it."""

TOLERANCE = 1e-4
"""Nats that any of them may change by in fp32."""

TOLERANCE_16_BIT = 0.03
"""Nats for the mean change in 16-bit types."""


def check_causal(model: PreTrainedModel, trees: Iterable[Tree]) -> None:
    """Raise if log-probabilities under `model` change when later tokens are exchanged for others.

    The row keeps its length, so rounding changes next to nothing, in 16-bit types too. What little it does change, as
    where experts are fed other tokens, is not the same in batches of other shapes.

    Args:
        model: the model that is tested.
        trees: real ones; of each, the prompt with its last response is read.

    Raises:
        SepoError: the model is no causal language model.
    """
    rows = [(ids, cuts) for ids, cuts in map(_cuts, trees) if cuts]
    if not rows:
        return
    tolerated = TOLERANCE_16_BIT if is_16_bit(model) else TOLERANCE
    changes = _future_changes(model, rows)
    for copies in ROW_COPIES:
        if change_size(model, changes) <= tolerated:
            return
        changes = changes.minimum(_future_changes(model, rows, copies))
    if change_size(model, changes) > tolerated:
        raise SepoError(
            f"this {type(model).__name__} sees the future: tokens that follow change the log-probabilities of those "
            f"before them, by up to {float(changes.max()):.2g}",
            "name a causal language model: one in which a token attends to those before it alone",
        )


def _cuts(tree: Tree) -> tuple[list[int], list[int]]:
    """The ids of a row of `tree`, and a place in its prompt and one in its response from which they are exchanged.

    The places are odd: blocks that see all of themselves, whose sizes are even, do not end there.
    """
    ids = [*tree.prompt_ids, *tree.responses[-1]]
    prompt = len(tree.prompt_ids)
    return ids, [cut for cut in (prompt // 2 | 1, (prompt + len(ids)) // 2 | 1) if cut < len(ids) - 1]


@torch.no_grad()
def _future_changes(
    model: PreTrainedModel, rows: Sequence[tuple[Sequence[int], Sequence[int]]], copies: int = 1
) -> Tensor:
    """The changes of the last log-probabilities before each cut when all from there on is exchanged.

    Args:
        model: the model that is tested.
        rows: ids, and the places from which they are exchanged.
        copies: of each row in a batch.
    """
    changes = []
    for ids, cuts in rows:
        layout = padded_layout([Tree(ids[:1], (ids[1:],))] * copies)
        # Value i is predicted at place i; the token at a cut is still a target, though another one is fed there.
        places = [place for cut in cuts for place in range(max(0, cut - COMPARED_TOKENS), cut)]
        layout = replace(layout, logit_positions=layout.logit_positions[places], targets=layout.targets[places])
        whole = token_logps(model, layout)
        start = 0
        for cut in cuts:
            exchanged = layout.input_ids.clone()
            exchanged[:, cut:] = torch.tensor(_others(ids[cut:-1], ids[:cut]))
            compared = slice(start, start := start + min(cut, COMPARED_TOKENS))
            found = token_logps(model, replace(layout, input_ids=exchanged))
            changes.append((whole[compared] - found[compared]).abs().cpu())
    return torch.cat(changes).nan_to_num(torch.inf)


def _others(ids: Sequence[int], known: Sequence[int]) -> list[int]:
    """As many of the `known` ids as there are `ids`, none in the place of its own equal where that can be."""
    offered = islice(cycle(known), len(ids))
    return [
        other if other != own else next((some for some in known if some != own), own)
        for own, other in zip(ids, offered, strict=True)
    ]
