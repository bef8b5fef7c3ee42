"""What a model is told about a layout: who sees whom, and at which positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sepo_train.layout import PROMPT

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from sepo_train.layout import Layout


def attention_inputs(model: PreTrainedModel, layout: Layout) -> dict[str, Tensor]:
    """The arguments of `model` that make it see the rows of `layout` as what they are."""
    if not layout.shared:
        return {"attention_mask": (layout.segments >= 0).long()}
    mask = branch_mask(layout.segments, _compute_dtype(model))
    return {"attention_mask": mask, "position_ids": layout.position_ids}


def branch_mask(segments: Tensor, dtype: torch.dtype) -> Tensor:
    """The additive attention mask of the shared layout.

    Args:
        segments: (rows, length) as in `Layout`.
        dtype: of the result. Boolean masks are not used: Gemma 2 reads them wrongly without an error.

    Returns:
        (rows, 1, length, length): 0 where a token sees another, the lowest finite value where it does not. A token sees
        what stands before it in the prompt and in its own branch.
    """
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    queries, keys = segments[:, :, None], segments[:, None, :]
    visible = causal & ((keys == PROMPT) | (keys == queries))
    mask = torch.zeros(visible.shape, dtype=dtype, device=segments.device)
    return mask.masked_fill_(~visible, torch.finfo(dtype).min).unsqueeze(1)


def _compute_dtype(model: PreTrainedModel) -> torch.dtype:
    """The type attention runs in, which an additive mask has to share."""
    kind = model.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else model.dtype
