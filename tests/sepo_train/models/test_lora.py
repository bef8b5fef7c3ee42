"""A LoRA adapter as part of the weights."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from sepo_data.errors import SepoError
from sepo_train.models.load import load_model, model_record
from sepo_train.models.lora import merge_lora
from sepo_train.training.settings import Training
from sepo_train.training.trainable_model import trainable_model

IDS = torch.tensor([[5, 6, 7, 8, 9]])
TRAINING = Training(lora_r=4)


def adapted(model):
    """A model under adapters that change what it computes, with the logits that it gives."""
    wrapped = trainable_model(str(model), TRAINING).eval()
    torch.manual_seed(3)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    with torch.no_grad():
        return wrapped, wrapped(IDS).logits


def logits_of(folder):
    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(IDS).logits


def test_a_merged_checkpoint_is_a_plain_one(tiny_model, tmp_path):
    model, logits = adapted(tiny_model)
    assert (logits - logits_of(tiny_model)).abs().max() > 1e-2
    merged = merge_lora(model)
    merged.save_pretrained(tmp_path / "merged")
    assert {file.name for file in (tmp_path / "merged").iterdir()} == {file.name for file in tiny_model.iterdir()} - {
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    }
    assert torch.allclose(logits_of(tmp_path / "merged"), logits, atol=1e-5)
    weights, before = (load_file(folder / "model.safetensors") for folder in (tmp_path / "merged", tiny_model))
    assert {name: weight.shape for name, weight in weights.items()} == {n: w.shape for n, w in before.items()}
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert not hasattr(merged, "peft_config")
    assert not [name for name, _ in merged.named_parameters() if "lora" in name]
    assert all(parameter.requires_grad for parameter in merged.parameters())
    configs = [json.loads((folder / "config.json").read_text("utf-8")) for folder in (tmp_path / "merged", tiny_model)]
    assert configs[0] == configs[1]
    assert model_record(str(tmp_path / "merged")).parameters == model_record(str(tiny_model)).parameters


def test_tied_weights_and_the_generation_configuration_stay(tiny_model, tmp_path):
    plain = load_model(str(tiny_model), dtype="float32")
    plain.config.tie_word_embeddings = True
    plain.tie_weights()
    plain.generation_config.max_new_tokens = 7
    plain.save_pretrained(tmp_path / "tied")
    model, logits = adapted(tmp_path / "tied")
    merged = merge_lora(model)
    assert merged.get_output_embeddings().weight is merged.get_input_embeddings().weight
    merged.save_pretrained(tmp_path / "merged")
    assert "lm_head.weight" not in load_file(tmp_path / "merged" / "model.safetensors")
    assert torch.allclose(logits_of(tmp_path / "merged"), logits, atol=1e-5)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert loaded.config.tie_word_embeddings
    assert loaded.generation_config.max_new_tokens == 7


def test_bf16_weights_lose_nothing(tiny_model, tmp_path):
    model, logits = adapted(tiny_model)
    rounded = model.to(torch.bfloat16)
    with torch.no_grad():
        # The same weights and adapters, multiplied in fp32.
        logits = rounded.float()(IDS).logits
    merged = merge_lora(rounded.to(torch.bfloat16))
    assert merged.dtype == torch.float32
    merged.save_pretrained(tmp_path / "merged")
    assert torch.allclose(logits_of(tmp_path / "merged"), logits, atol=1e-5)


def test_a_model_without_adapters_is_itself(tiny_model):
    model = trainable_model(str(tiny_model), replace(TRAINING, lora_r=0))
    assert merge_lora(model) is model


def test_adapters_that_are_not_finite_are_refused(tiny_model):
    model, _ = adapted(tiny_model)
    with torch.no_grad():
        next(parameter for name, parameter in model.named_parameters() if "lora_B" in name).fill_(torch.inf)
    with pytest.raises(SepoError, match="cannot be merged"):
        merge_lora(model)
