"""Choose the fastest batch layout whose log-probabilities equal those of single sequences, tested on real pairs."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from sepo_train.engine.attention import attention_window
from sepo_train.engine.causality import check_causal
from sepo_train.engine.layout_check import (
    GROSS_FACTOR,
    Change,
    Expected,
    check_head,
    layout_change,
    sharing_change,
    single_logps,
    tolerance,
)
from sepo_train.engine.layout_policy import MASKED_TOKENS, NO_LIMIT, PLAIN, LayoutPolicy
from sepo_train.engine.prefix_cache import beginning_alike, common_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from transformers import PretrainedConfig, PreTrainedModel

    from sepo_train.engine.layout import Tree

CHECKED_PAIRS = 100
"""Pairs of a dataset that are read to find a few on which layouts differ."""

ROUNDING_FACTOR = 2
"""A shared prompt may change values this many times as much as padding does: rounding grows with the model."""


def choose_layout_policy(
    models: Iterable[PreTrainedModel], trees: Sequence[Tree], *, batch_tokens: int
) -> LayoutPolicy:
    """The fastest layout in which every one of `models` computes what it computes for single sequences.

    Each layout is tested on a few real pairs, so that an architecture this code has never seen is safe: whatever it
    does otherwise (recurrence, ALiBi, a mask or positions that it reads differently) shows in the comparison, and
    `exact_layouts` has the fallback.

    Args:
        models: those that the policy is for; each is tested, then released before the next one is asked for.
        trees: real ones, of which a few are tested that can tell layouts apart, the longest and the shortest among
            them.
        batch_tokens: as in the run to come; with 1, every response is a batch by itself.

    Raises:
        SepoError: the output head of a model cannot run on selected positions only, or a model sees the future.
    """
    # No variable holds a model when the next one comes: memory may have room for one.
    found = list(map(partial(exact_layouts, trees=trees, batch_tokens=batch_tokens), models))
    if batch_tokens == 1:
        return PLAIN
    best = max(map(_exact_for_all, zip(*found, strict=True)), key=lambda policy: policy.shared_limit)
    return replace(best, padded_limit=min(policy.padded_limit for layouts in found for policy in layouts))


def _exact_for_all(policies: Sequence[LayoutPolicy]) -> LayoutPolicy:
    """The policy that is exact for each of several models, given one of each."""
    least = min(policies, key=lambda policy: policy.shared_limit)
    return replace(least, prefix_cache=all(policy.prefix_cache for policy in policies))


def exact_layouts(
    model: PreTrainedModel, trees: Sequence[Tree], batch_tokens: int
) -> tuple[LayoutPolicy, LayoutPolicy]:
    """The layouts in which `model` computes what it computes for single sequences: the fallback of an architecture.

    Where a model computes otherwise, it falls back, from the fastest layout to the plainest:

    1. The prefix that all prompts begin with changes values if it is cached: every row computes its own.
    2. A mask of our own replaces the attention windows of a model. Rows longer than the window share their prompt only
       if some of them were tested with a mask that has the window, and its absence was seen to matter. Otherwise they
       hold one response each.
    3. A shared prompt changes values, or lets one response see another: every response has a row of its own.
    4. Padding changes values: rows run one by one. LongRoPE, which rotates all rows of a batch by its longest one, does
       so beyond the original context alone.
    5. The output head gives other values on selected positions: nothing is left, and a `SepoError` is raised.

    Returns:
        Two policies: without the attention windows in the mask of a shared row, and with them. One that is exact for
        several models is either the first of all or the second of all.
    """
    config = model.config.get_text_config()
    window, padded_limit = attention_window(config) or NO_LIMIT, _padded_limit(config)
    padded = LayoutPolicy(shared_limit=0, padded_limit=padded_limit)

    informative = _informative(trees, padded_limit)
    inside = single_logps(model, _telling([tree for tree in informative if tree.shared_length <= window]))
    outside = single_logps(model, _telling([tree for tree in informative if tree.longest > window]))
    tested = [*inside, *outside] or single_logps(model, trees)
    check_head(model, tested)
    check_causal(model, [tree for tree, _ in tested])
    change = partial(layout_change, model, batch_tokens=batch_tokens)

    padding = change(tested, padded)
    if padding.size > GROSS_FACTOR * tolerance(model):
        one_by_one = LayoutPolicy(shared_limit=0, reason=f"padding {padding.text}", padded_limit=0)
        return one_by_one, one_by_one
    tolerated = max(tolerance(model), ROUNDING_FACTOR * padding.size)
    shared_change = partial(sharing_change, model, batch_tokens=batch_tokens, tolerated=tolerated, rounding=padding)
    with_prefix = partial(_with_prefix_cache, change=change, tolerated=tolerated)

    without_windows = LayoutPolicy(shared_limit=window, padded_limit=padded_limit)
    if not inside:
        within = f" within the attention window of {window}" if window < NO_LIMIT else ""
        without_windows = replace(padded, reason=f"no pair{within} to try a shared prompt on")
    elif (sharing := shared_change(inside, without_windows)).size > tolerated:
        unshared = replace(padded, reason=f"a shared prompt {sharing.text}")
        return unshared, unshared
    without_windows = with_prefix(without_windows, inside)
    if window == NO_LIMIT:
        return without_windows, replace(without_windows, windowed=not without_windows.reason)

    with_windows = LayoutPolicy(shared_limit=NO_LIMIT, windowed=True, padded_limit=padded_limit)
    forgotten = change(outside, replace(with_windows, windowed=False), from_position=window)
    window_matters = GROSS_FACTOR * tolerated < forgotten.size < math.inf
    exact = window_matters and change(outside, with_windows, from_position=window).size <= tolerated
    if not exact or shared_change(tested, with_windows).size > tolerated:
        return without_windows, replace(padded, reason="attention windows are not shared exactly")
    return without_windows, with_prefix(with_windows, tested)


def _informative(trees: Sequence[Tree], padded_limit: int) -> list[Tree]:
    """The trees that can tell layouts apart: where one response at most is fed, sharing cannot go wrong."""
    return [
        tree
        for tree in trees
        if tree.longest <= padded_limit
        and tree.shared_length <= MASKED_TOKENS
        and all(map(tree.input_ids_of, range(len(tree.responses))))
    ]


def _telling(trees: Sequence[Tree]) -> list[Tree]:
    """`trees` in the order in which they are tried: the longest, the shortest, the first, then from all three ends.

    The longest is that of several responses, then that of all: only rows of several responses share a prompt.
    """
    lengths = [tree.shared_length for tree in trees]
    order = sorted(range(len(trees)), key=lengths.__getitem__)
    several = [index for index in order if len(trees[index].responses) > 1]
    ends = several[-1:], order[-1:], order[:1], range(min(2, len(trees)))
    others = zip_longest(reversed(several), order, range(len(trees)))
    return [trees[index] for index in dict.fromkeys(chain(*ends, *others)) if index is not None]


def _with_prefix_cache(
    policy: LayoutPolicy, expected: Expected, *, change: Callable[[Expected, LayoutPolicy], Change], tolerated: float
) -> LayoutPolicy:
    """`policy` with a prefix cache, where tested trees have a common prefix and caching it changes nothing.

    The longest tree may begin otherwise than all others do, so the most that begin alike are tested.
    """
    alike = [expected[index] for index in beginning_alike([tree for tree, _ in expected])]
    cached, common = replace(policy, prefix_cache=True), common_prefix([tree for tree, _ in alike])
    return cached if policy.shared_limit and common and change(alike, cached).size <= tolerated else policy


def _padded_limit(config: PretrainedConfig) -> int:
    """Tokens up to which a sequence may share a batch: LongRoPE rotates all rows of a batch by its longest one."""
    parameters: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    # Some models have parameters for each kind of layer.
    each = [parameters, *(part for part in parameters.values() if isinstance(part, dict))]
    limits = [part["original_max_position_embeddings"] for part in each if part.get("rope_type") == "longrope"]
    return min(limits, default=NO_LIMIT)
