"""Merge LoRA adapters into the model that they adapt, so that what is saved is a plain checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def merge_lora(model: PreTrainedModel) -> PreTrainedModel:
    """The model that computes what `model` does, with its LoRA adapters added to the weights; itself without any.

    In fp32, so that nothing is lost when the product of the adapters is added to a weight; weights that were tied stay
    tied, and the generation configuration stays. The adapters are used up.

    Raises:
        SepoError: a merged weight is not finite.
    """
    from peft import PeftModel

    if not isinstance(model, PeftModel):
        return model
    try:
        merged = cast("PreTrainedModel", model.to(torch.float32).merge_and_unload(safe_merge=True))
    except ValueError as error:  # safe_merge checks every weight before it replaces another
        raise SepoError(f"the adapters cannot be merged: {error}", "lower --lr; training has diverged") from error
    merged.config.dtype = torch.float32
    return merged.requires_grad_(requires_grad=True)
