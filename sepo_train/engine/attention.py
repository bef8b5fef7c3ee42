"""Attention masks and position ids of a layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import pad

from sepo_train.engine.layout import PROMPT

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn.attention.flex_attention import BlockMask
    from transformers import PretrainedConfig, PreTrainedModel

    from sepo_train.engine.layout import Layout


def attention_inputs(model: PreTrainedModel, layout: Layout) -> dict[str, Any]:
    """The attention mask and position ids that `model` takes for the rows of `layout`."""
    if layout.one_row_at_a_time:
        raise ValueError("these rows have to run one at a time")
    if not layout.shared:
        return {"attention_mask": (layout.segments >= 0).long()}
    mask = branch_mask(layout.segments, _compute_dtype(model), prefix_tokens=layout.prefix_tokens)
    config = model.config.get_text_config()
    window = attention_window(config) if layout.windowed else None
    masks = {"": mask} if window is None else _windowed(mask, layout.position_ids, config, window)
    attention = config._attn_implementation  # noqa: SLF001 - transformers gives it no other name
    read = {kind: _for_attention(mask, attention) for kind, mask in masks.items()}
    # A model with one kind of layer takes one mask, any other a mask for each kind.
    return {
        "attention_mask": read if len(read) > 1 else next(iter(read.values())),
        "position_ids": layout.position_ids,
    }


def branch_mask(segments: Tensor, dtype: torch.dtype, *, prefix_tokens: int = 0) -> Tensor:
    """The additive attention mask of the shared layout.

    Args:
        segments: (rows, length) as in `Layout`.
        dtype: of the result. Boolean masks are not used: Gemma 2 reads them wrongly without an error.
        prefix_tokens: tokens of the cached prefix, which every token sees.

    Returns:
        (rows, 1, length, prefix_tokens + length): 0 where a token sees another, else the lowest finite value. A token
        sees what stands before it in the prompt and in its own branch.
    """
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    queries, keys = segments[:, :, None], segments[:, None, :]
    visible = causal & ((keys == PROMPT) | (keys == queries))
    mask = torch.zeros(visible.shape, dtype=dtype, device=segments.device)
    return pad(mask.masked_fill_(~visible, torch.finfo(dtype).min), (prefix_tokens, 0)).unsqueeze(1)


def attention_window(config: PretrainedConfig) -> int | None:
    """Positions that the layers of a text model with the shortest window see; None where all see everything."""
    windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size", "window_size")]
    return min((window for window in windows if isinstance(window, int) and window > 0), default=None)


def _windowed(mask: Tensor, positions: Tensor, config: PretrainedConfig, window: int) -> dict[str, Tensor]:
    """Narrow `mask` to the windows of every kind of layer, as transformers 5 draws them in masking_utils.

    Args:
        mask: (rows, 1, length, prefix_tokens + length) as `branch_mask` gives it.
        positions: (rows, length) counted along each branch, so that distances are those of the branch alone.
        config: that of the text model. If it names no kinds of layers, all have the window.
        window: positions that a sliding layer sees, its own among them.

    Returns:
        A mask for each kind of layer, by the name that the model gives it.
    """
    prefix = torch.arange(mask.shape[-1] - mask.shape[-2], device=positions.device).expand(len(positions), -1)
    queries, keys = positions[:, None, :, None], torch.cat([prefix, positions], dim=1)[:, None, None, :]

    def narrowed(kind: str) -> Tensor:
        if kind == "full_attention":
            return mask
        if kind == "sliding_attention":
            hidden = queries - keys >= window
        elif kind == "chunked_attention":
            hidden = queries // config.attention_chunk_size != keys // config.attention_chunk_size
        else:
            raise NotImplementedError(f"no mask for layers of the kind {kind}")
        return mask.masked_fill(hidden, torch.finfo(mask.dtype).min)

    return {kind: narrowed(kind) for kind in set(getattr(config, "layer_types", None) or ["sliding_attention"])}


def _for_attention(mask: Tensor, implementation: str | None) -> Tensor | BlockMask:
    """The additive `mask` in the form that an attention implementation reads."""
    if implementation in (None, "eager", "sdpa"):
        return mask
    if implementation != "flex_attention":
        # Flash attention takes the numbers of a mask for lengths, and may take the process with it.
        raise NotImplementedError(f"{implementation} takes no masks")
    from torch.nn.attention.flex_attention import create_block_mask

    visible = mask[:, 0] == 0
    # A mask that is no block mask crashes the process where flex attention is compiled for a CPU.
    rows, queries, keys = visible.shape
    return create_block_mask(
        lambda row, _head, query, key: visible[row, query, key], rows, None, queries, keys, device=visible.device
    )


def _compute_dtype(model: PreTrainedModel) -> torch.dtype:
    """The type attention runs in, which an additive mask has to share."""
    kind = model.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else model.dtype
