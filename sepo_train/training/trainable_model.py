"""Models to train: loaded in fp32 without dropout, under LoRA adapters where these are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from transformers import set_seed

from sepo_data.errors import SepoError
from sepo_train.models.adapted import put_adapter
from sepo_train.models.files import adapter_base
from sepo_train.models.load import adapter_weights, load_model
from sepo_train.models.lora import merge_lora

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from sepo_train.training.settings import Training


def trainable_model(name: str, training: Training) -> PreTrainedModel:
    """Load `name` in fp32 with dropout off, under LoRA adapters where they are asked for.

    A model that is itself an adapter is merged into its base.

    Raises:
        SepoError: `name` cannot be loaded, or is an adapter that would be trained through another one.
    """
    set_seed(training.seed)
    if (base := adapter_base(name)) is None:
        model = load_model(name, dtype="float32", trust_remote_code=training.trust_remote_code)
    elif training.lora_r:
        raise SepoError(
            f"{name} is a LoRA adapter of {base}, and an adapter cannot be trained on top of it",
            "leave --lora-r out, or merge the adapter into its base model first",
        )
    else:
        model = merge_lora(load_to_merge(name, base, trust_remote_code=training.trust_remote_code))
    if getattr(model, "is_quantized", False) and not training.lora_r:
        raise SepoError(
            f"{name} is quantized, and the weights of a quantized model cannot be trained",
            "train adapters on top of it with --lora-r 16, or start from the model as it was before it was quantized",
        )
    _disable_dropout(model)
    if training.lora_r:
        from peft import LoraConfig, get_peft_model

        adapters = LoraConfig(
            r=training.lora_r, lora_alpha=2 * training.lora_r, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        # It behaves as the model it wraps; peft has no type for that.
        model = cast("PreTrainedModel", get_peft_model(model, adapters))
    if training.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        # Frozen embeddings under adapters give no gradient, and checkpointing would cut the layers off.
        model.enable_input_require_grads()
    return model


def load_to_merge(name: str, base: str, *, trust_remote_code: bool = False) -> PreTrainedModel:
    """The adapter `name` on its model `base`, wrapped by PEFT, which can merge them."""
    adapter_weights(name, trust_remote_code=trust_remote_code)
    model = load_model(base, dtype="float32", trust_remote_code=trust_remote_code)
    return cast("PreTrainedModel", put_adapter(model, name))


def in_training_dtype(model: PreTrainedModel, training: Training) -> torch.autocast:
    """A context in which `model` computes products as in training, so that log-probabilities are comparable."""
    return torch.autocast(model.device.type, torch.bfloat16, enabled=training.bf16)


def _disable_dropout(model: PreTrainedModel) -> None:
    """Set every dropout to 0: a reward or loss that changes from pass to pass is noise. DPO trains without, too."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    # Other modules keep the probability in an attribute, or read it from the configuration in every pass.
    for owner in (*model.modules(), model.config, model.config.get_text_config()):
        for name, value in vars(owner).items():
            if "drop" in name and isinstance(value, float):
                setattr(owner, name, 0.0)
