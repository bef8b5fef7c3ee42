"""Noise of training mode: off while a model is trained, back in the configuration that is saved."""

import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from sepo_train.models.noise import noise_as_configured, switch_off_noise

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
MLP = SIZES | {"intermediate_size": 64}
TOWER = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
# model type, its configuration, and what of it is noise
NOISY = {
    "attention": ("llama", MLP | {"attention_dropout": 0.3}, ["attention_dropout"]),
    "modules": ("gpt2", {"n_embd": 32, "n_layer": 1, "n_head": 4}, ["attn_pdrop", "embd_pdrop", "resid_pdrop"]),
    "skipped layers": (
        "opt",
        {"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "layerdrop": 0.5},
        ["layerdrop", "dropout"],
    ),
    "jitter": (
        "mixtral",
        MLP | {"num_key_value_heads": 2, "num_local_experts": 4, "router_jitter_noise": 0.1},
        ["router_jitter_noise"],
    ),
    "nested": (
        "gemma3",
        {
            "text_config": MLP | {"attention_dropout": 0.2, "vocab_size": 97, "head_dim": 8, "num_key_value_heads": 2},
            "vision_config": TOWER | {"attention_dropout": 0.4, "image_size": 14, "patch_size": 14},
            "mm_tokens_per_image": 1,
        },
        ["text_config.attention_dropout", "vision_config.attention_dropout"],
    ),
}


def built(kind, options):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{"vocab_size": 97, "bos_token_id": 1, "eos_token_id": 2} | options)
    return AutoModelForCausalLM.from_config(config).eval()


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.arange(5, 25)[None]).logits


def saved(model, folder):
    model.save_pretrained(folder)
    return [json.loads((folder / f"{part}.json").read_text("utf-8")) for part in ("config", "generation_config")]


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.filterwarnings("ignore")
def test_training_mode_has_none_and_what_is_saved_has_all(tmp_path, name):
    kind, options, fields = NOISY[name]
    model = built(kind, options)
    before, evaluated = saved(model, tmp_path), logits(model)
    assert not torch.equal(logits(model.train()), evaluated)
    switch_off_noise(model.eval())
    assert torch.equal(logits(model), evaluated)
    assert torch.equal(logits(model.train()), evaluated)
    with noise_as_configured(model):
        assert saved(model, tmp_path) == before
    assert torch.equal(logits(model), evaluated), "and off again"
    for field in fields:
        found = model.config
        for part in field.split("."):
            found = getattr(found, part)
        assert found == 0


def test_a_number_that_evaluation_uses_is_no_noise():
    """PhiMoE compares the scores of experts with its jitter in every mode."""
    experts = {"num_key_value_heads": 2, "num_local_experts": 4, "router_jitter_noise": 0.01, "attention_dropout": 0.1}
    model = built("phimoe", MLP | experts)
    evaluated = logits(model)
    switch_off_noise(model)
    assert model.config.router_jitter_noise == 0.01
    assert model.config.attention_dropout == 0
    assert torch.equal(logits(model), evaluated)


def test_modules_of_every_kind_of_dropout():
    model = built("llama", MLP)
    kinds = (torch.nn.Dropout, torch.nn.Dropout1d, torch.nn.AlphaDropout, torch.nn.FeatureAlphaDropout)
    model.extra = torch.nn.ModuleList(kind(0.5) for kind in kinds)
    switch_off_noise(model)
    assert [module.p for module in model.extra] == [0.0] * len(kinds)


def test_a_model_that_was_never_switched_off_is_saved_as_it_is(tmp_path):
    model = built("llama", MLP | {"attention_dropout": 0.3})
    with noise_as_configured(model):
        assert saved(model, tmp_path)[0]["attention_dropout"] == 0.3
