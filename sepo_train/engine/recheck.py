"""Compare the longest rows that were just scored with their responses by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sepo_data.errors import SepoError
from sepo_train.engine.layout_check import GROSS_FACTOR, ROW_COPIES, change_size, is_16_bit, tolerance
from sepo_train.engine.layout_policy import PLAIN
from sepo_train.engine.logps import score_trees

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

    from sepo_train.engine.layout import Tree
    from sepo_train.engine.layout_policy import LayoutPolicy

GROSS_CHANGE_16_BIT = 1.0
"""Nats that rounding to 16 bits changes no log-probability by, unless it changes others by much, too."""


def recheck_longest(
    model: PreTrainedModel,
    trees: Sequence[Tree],
    scores: Sequence[Sequence[Tensor]],
    policy: LayoutPolicy,
    *,
    name: Callable[[int], str],
    hint: str = "leave out rows as long as this one, and please report the architecture",
) -> int:
    """Raise if the longest of `trees` has other log-probabilities than its responses by themselves.

    The layout was chosen on a few pairs, which may all have been shorter. Of a row, the first and the last response are
    compared: all others stand before the last one. Where a row that shares its prompt is not the longest of all, the
    longest of the others is compared, too.

    Args:
        model: the model that scored them.
        trees: those of a shard, say.
        scores: what `score_trees` gave for them.
        policy: the layout in which it did.
        name: of the tree with an index, for the message.
        hint: of the error.

    Returns:
        The number of rows that were compared; 0 where no row is finite.

    Raises:
        SepoError: they differ by more than rounding.
    """
    longest = _longest(trees, scores, policy)
    for index in longest:
        tree = trees[index]
        first, last = _changes(model, tree, scores[index], policy)
        if _is_gross(model, first, last):
            raise SepoError(
                f"{name(index)}, with {_tokens(tree)} tokens of prompt and longest response: a {type(model).__name__} "
                f"gives other log-probabilities in the layout `{policy.layout_name}` than for each response by itself, "
                f"by up to {float(torch.cat([first, last]).max()):.2g}",
                hint,
            )
    return len(longest)


def _tokens(tree: Tree) -> int:
    return len(tree.prompt_ids) + max(map(len, tree.responses))


def _longest(trees: Sequence[Tree], scores: Sequence[Sequence[Tensor]], policy: LayoutPolicy) -> list[int]:
    """The longest row that shares its prompt, and the longest of the others where that is longer; finite ones alone."""
    finite = [index for index, found in enumerate(scores) if all(bool(logps.isfinite().all()) for logps in found)]
    shared = [index for index in finite if policy.shares(trees[index]) and len(trees[index].responses) > 1]
    others = sorted(set(finite).difference(shared))
    found = [max(group, key=lambda index: trees[index].shared_length) for group in (shared, others) if group]
    return [index for index in found if index == found[0] or trees[index].longest > trees[found[0]].longest]


def _changes(
    model: PreTrainedModel, tree: Tree, logps: Sequence[Tensor], policy: LayoutPolicy
) -> tuple[Tensor, Tensor]:
    """The changes of each log-probability of the first and of the last response between the layout and itself alone.

    If they are no rounding at first sight, both are computed again in batches of other shapes, and the smallest change
    counts: rounding may tip the choice between two experts over, one way here and the other way there.
    """
    branches = tree.split()

    def alone(copies: int) -> list[Tensor]:
        rows = {
            place: score_trees(model, [branches[place]] * copies, PLAIN, batch_tokens=copies * branches[place].longest)
            for place in {0, len(branches) - 1}
        }
        return [rows[place][0][0] for place in (0, len(branches) - 1)]

    found, plain = [[logps[0], logps[-1]]], [alone(1)]
    first, last = _smallest(found, plain)
    for copies in ROW_COPIES:
        if not _is_gross(model, first, last, factor=1):
            break
        again = score_trees(model, [tree] * copies, policy, batch_tokens=copies * policy.length(tree))[0]
        found.append([again[0], again[-1]])
        plain.append(alone(copies))
        first, last = _smallest(found, plain)
    return first, last


def _smallest(found: Sequence[Sequence[Tensor]], plain: Sequence[Sequence[Tensor]]) -> tuple[Tensor, Tensor]:
    """For each of the two responses, (tokens,) the smallest change between any of `found` and any of `plain`."""
    pairs = [(ours, theirs) for ours in found for theirs in plain]
    first, last = (
        torch.stack([(ours[side] - theirs[side]).abs().nan_to_num(torch.inf) for ours, theirs in pairs]).amin(dim=0)
        for side in (0, 1)
    )
    return first, last


def _is_gross(model: PreTrainedModel, first: Tensor, last: Tensor, *, factor: float = GROSS_FACTOR) -> bool:
    """True if changes are no rounding: by their size, or in 16-bit types by that of a single one behind others."""
    if change_size(model, torch.cat([first, last])) > factor * tolerance(model):
        return True
    return is_16_bit(model) and float(last.max()) > max(GROSS_FACTOR * float(first.max()), GROSS_CHANGE_16_BIT)
