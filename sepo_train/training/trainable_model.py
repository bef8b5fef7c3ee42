"""Models to train: loaded in fp32 without the noise of training, under LoRA adapters where these are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from transformers import set_seed

from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError
from sepo_train.models.adapted import put_adapter
from sepo_train.models.files import adapter_base, library_errors
from sepo_train.models.load import adapter_weights, load_model, try_out
from sepo_train.models.lora import add_lora, merge_lora
from sepo_train.models.noise import switch_off_noise
from sepo_train.models.weight_changes import (
    changes_weights,
    check_trainable,
    first_pass,
    refuse_adapter,
    to_stored_weights,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from sepo_train.training.settings import Training


def trainable_model(name: str, training: Training, progress: Progress = SILENT) -> PreTrainedModel:
    """Load `name` in fp32 with dropout off, under LoRA adapters where they are asked for.

    A model that is itself an adapter is merged into its base.

    Raises:
        SepoError: `name` cannot be loaded or trained as `training` asks for, or is an adapter that would be trained
            through another one.
    """
    set_seed(training.seed)
    if (base := adapter_base(name)) is None:
        model = load_model(name, dtype="float32", trust_remote_code=training.trust_remote_code, progress=progress)
    elif training.lora_r:
        raise SepoError(
            f"{name} is a LoRA adapter of {base}, and an adapter cannot be trained on top of it",
            "leave --lora-r out, or merge the adapter into its base model first",
        )
    else:
        model = _merged(name, base, trust_remote_code=training.trust_remote_code, progress=progress)
    if getattr(model, "is_quantized", False) and not training.lora_r:
        raise SepoError(
            f"{name} is quantized, and the weights of a quantized model cannot be trained",
            "train adapters on top of it with --lora-r 16, or start from the model as it was before it was quantized",
        )
    check_trainable(model, name)
    switch_off_noise(model)
    if training.lora_r:
        refuse_adapter(model, name)
        model = add_lora(model, training.lora_r, name=name, progress=progress)
    if training.gradient_checkpointing:
        with library_errors(f"{name} cannot compute its activations twice", "leave out --gradient-checkpointing"):
            model.gradient_checkpointing_enable({"use_reentrant": False})
            # Frozen embeddings under adapters give no gradient, and checkpointing would cut the layers off.
            model.enable_input_require_grads()
    return model


def _merged(name: str, base: str, *, trust_remote_code: bool, progress: Progress) -> PreTrainedModel:
    """The model that the adapter `name` makes of `base`, without an adapter."""
    model = merge_lora(load_to_merge(name, base, trust_remote_code=trust_remote_code, progress=progress))
    if changes_weights(model):
        with first_pass(model.eval()):  # of the merged weights
            try_out(model, name)
    return model


def load_to_merge(
    name: str, base: str, *, trust_remote_code: bool = False, progress: Progress = SILENT
) -> PreTrainedModel:
    """The adapter `name` on its model `base`, wrapped by PEFT, which can merge them."""
    adapter_weights(name, trust_remote_code=trust_remote_code)
    model = load_model(base, dtype="float32", trust_remote_code=trust_remote_code, progress=progress)
    to_stored_weights(model)  # to which the adapter belongs
    return cast("PreTrainedModel", put_adapter(model, name, progress))


def in_training_dtype(model: PreTrainedModel, training: Training) -> torch.autocast:
    """A context in which `model` computes products as in training, so that log-probabilities are comparable."""
    return torch.autocast(model.device.type, torch.bfloat16, enabled=training.bf16)
