"""Prefix caching: the tokens that all prompts begin with, such as a chat template's opening, are computed once."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any

import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from sepo_train.engine.head import head_logps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

    from sepo_train.engine.layout import Tree

MIN_PREFIX_TOKENS = 8
"""A shorter prefix is not worth a forward pass of its own."""


def common_prefix(trees: Sequence[Tree]) -> list[int]:
    """The token ids that the prompts of all `trees` begin with; none if fewer than `MIN_PREFIX_TOKENS`.

    The last token of a prompt predicts the response, so it is never part of the prefix.
    """
    if len(trees) < 2:  # noqa: PLR2004 - one row alone shares nothing
        return []
    columns = zip(*(tree.prompt_ids[:-1] for tree in trees), strict=False)
    shared = [ids[0] for ids in takewhile(lambda ids: len(set(ids)) == 1, columns)]
    return shared if len(shared) >= MIN_PREFIX_TOKENS else []


def beginning_alike(trees: Sequence[Tree]) -> list[int]:
    """The indices of the most trees whose prompts begin with the same `MIN_PREFIX_TOKENS` ids."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, tree in enumerate(trees):
        groups.setdefault(tuple(tree.prompt_ids[:MIN_PREFIX_TOKENS]), []).append(index)
    return max(groups.values(), key=len, default=[])


@torch.inference_mode()
def build_prefix_cache(model: PreTrainedModel, ids: Sequence[int]) -> Cache:
    """The keys and values of the prefix `ids` in every layer of `model`, for rows of any number that continue it.

    Raises:
        ValueError: the model keeps something else than keys and values of what it has read, such as a recurrent state.
    """
    cache, none = DynamicCache(), torch.empty(0, dtype=torch.long, device=model.device)
    fed = torch.tensor([ids], device=model.device)
    head_logps(model, lambda: model(input_ids=fed, past_key_values=cache, use_cache=True).logits, none, none)
    if not cache.layers or any(
        type(layer) is not DynamicLayer or layer.get_seq_length() != len(ids) for layer in cache.layers
    ):
        raise ValueError("not all layers have keys and values of the complete prefix")
    return Cache(layers=[_PrefixLayer(layer) for layer in cache.layers])


class _PrefixLayer(DynamicLayer):
    """Keys and values that stand before those of every row. They are shared by all rows and never change."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401 - transformers gives its layers no types
        super().__init__()
        self.lazy_initialization(layer.keys, layer.values)
        self.keys: Tensor = layer.keys
        self.values: Tensor = layer.values

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *_args: Any,  # noqa: ANN401 - as in transformers
        **_options: Any,  # noqa: ANN401 - as in transformers
    ) -> tuple[Tensor, Tensor]:
        rows = key_states.shape[0]
        return (
            torch.cat([self.keys.expand(rows, -1, -1, -1), key_states], dim=-2),
            torch.cat([self.values.expand(rows, -1, -1, -1), value_states], dim=-2),
        )
