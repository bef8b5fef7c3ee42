"""LoRA adapters: put onto the linear layers that PEFT can wrap, and merged, so that what is saved is a plain model."""

from __future__ import annotations

import copy
from itertools import chain
from typing import TYPE_CHECKING, cast

import torch
from transformers.pytorch_utils import Conv1D

from sepo_data.console.text import listed
from sepo_data.errors import SepoError
from sepo_train.models.files import library_errors
from sepo_train.models.random_numbers import random_numbers_kept

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel

    from sepo_data.console.progress import Progress


def add_lora(model: PreTrainedModel, rank: int, *, name: str, progress: Progress) -> PreTrainedModel:
    """Wrap `model` in LoRA adapters of `rank` on all linear layers but its head, and those that PEFT cannot wrap.

    Args:
        model: changed in place.
        rank: of the adapters.
        name: of the model, for messages.
        progress: receives a note of the layers that are left out.

    Raises:
        SepoError: PEFT can wrap none.
    """
    from peft import get_peft_model

    refused = refused_layers(model, rank)
    if refused:
        progress.note(f"no adapters on {listed(sorted(refused))} of {name}: {next(iter(refused.values()))}")
    with library_errors(f"{name} cannot be trained through LoRA adapters", "leave out --lora-r"):
        # It behaves as the model it wraps; peft has no type for that.
        return cast("PreTrainedModel", get_peft_model(model, _config(rank, without=list(refused))))


def refused_layers(model: PreTrainedModel, rank: int) -> dict[str, str]:
    """Names of the linear layers that PEFT cannot wrap, or that do not run when they are wrapped, each with the reason.

    The output projections of state-space layers, for instance, which their kernels read directly, and routers that
    return more than a product. Where only all of them together fail, or every one does, none is named.
    """
    if _refusal(model, _config(rank)) is None:
        return {}
    head = model.get_output_embeddings()
    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear | Conv1D)]
    names = sorted({name.rpartition(".")[2] for name in linear if model.get_submodule(name) is not head})
    refusals = {name: _refusal(model, _config(rank, only=[name])) for name in names}
    refused = {name: reason for name, reason in refusals.items() if reason is not None}
    return refused if len(refused) < len(names) else {}


def _config(rank: int, *, only: list[str] | None = None, without: list[str] | None = None) -> LoraConfig:
    from peft import LoraConfig

    return LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules=only or "all-linear",
        exclude_modules=without or None,
        task_type="CAUSAL_LM",
    )


@torch.no_grad()
def _refusal(model: PreTrainedModel, config: LoraConfig) -> str | None:
    """The reason for which a copy of `model`, with the same weights, does not run under adapters of `config`."""
    from peft import get_peft_model

    tensors = chain(model.parameters(), model.buffers())
    trained = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    ids = torch.arange(4, device=model.device)[None] % model.config.get_text_config().vocab_size
    try:
        with random_numbers_kept(model.device), library_errors("", ""):
            adapted = get_peft_model(copy.deepcopy(model, {id(tensor): tensor for tensor in tensors}), config)
            adapted.eval()(input_ids=ids)
    except SepoError as error:
        return str(error).removeprefix(": ")
    finally:
        for parameter, requires_grad in trained:
            parameter.requires_grad_(requires_grad)
    return None


def merge_lora(model: PreTrainedModel) -> PreTrainedModel:
    """The model that computes what `model` does, with its LoRA adapters added to the weights; itself without any.

    In fp32, so that nothing is lost when the product of the adapters is added to a weight; weights that were tied stay
    tied, and the generation configuration stays. The adapters are used up.

    Raises:
        SepoError: a merged weight is not finite, or adapters of this kind have no part in the weights.
    """
    from peft import PeftModel

    if not isinstance(model, PeftModel):
        return model
    finite = all(bool(torch.isfinite(weight).all()) for weight in model.parameters() if weight.is_floating_point())
    hint = "merge them by PEFT, and name the merged model" if finite else "lower --lr; training has diverged"
    with library_errors("the adapters cannot be merged", hint):
        # It checks every weight before it replaces another.
        merged = cast("PreTrainedModel", model.to(torch.float32).merge_and_unload(safe_merge=True))
    merged.config.dtype = torch.float32
    return merged.requires_grad_(requires_grad=True)
