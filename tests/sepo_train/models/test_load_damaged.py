"""Damaged models: each is refused with a sentence that names it, or works; none fails otherwise, or takes its time."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, LlamaConfig

from tests.fixtures.damaged_models import edit, refused, use

pytestmark = [pytest.mark.usefixtures("quiet"), pytest.mark.filterwarnings("ignore")]

WEIGHT = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture
def copy(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"hidden_size": 10**9}, "hidden_size"),
        ({"hidden_size": 10**7}, "parameters, but its files hold at most"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"hidden_size": -1}, "hidden_size"),
        ({"hidden_size": "32"}, "hidden_size"),
        ({"hidden_size": [32]}, "hidden_size"),
        ({"hidden_size": None}, "hidden_size"),
        ({"num_hidden_layers": 10**7}, "num_hidden_layers"),
        ({"num_hidden_layers": 9000}, "9,000 layers, but its files hold 21 tensors"),
        ({"num_hidden_layers": 3}, "lacks 9 weights of a LlamaForCausalLM"),
        ({"num_hidden_layers": 1}, "has 9 weights that a LlamaForCausalLM has not"),
        ({"num_hidden_layers": {"a": 1}}, "num_hidden_layers"),
        ({"num_labels": 10**30}, "num_labels"),
        ({"vocab_size": 10**12}, "vocab_size"),
        ({"vocab_size": 10**7}, "parameters, but its files hold at most"),
        ({"vocab_size": 100}, r"other shapes .*\[384, 32\], not \[100, 32\]"),
        ({"vocab_size": -384}, "vocab_size"),
        ({"intermediate_size": 10**7}, "parameters, but its files hold at most"),
        ({"intermediate_size": 0}, "other shapes"),
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"num_attention_heads": 5}, "32.* is not a multiple of the number of attention heads .5"),
        ({"num_key_value_heads": 0}, "ZeroDivisionError"),
        ({"num_key_value_heads": 1}, "other shapes"),
        ({"head_dim": -8}, "negative dimension"),
        ({"head_dim": 0}, "cannot load"),
        ({"hidden_act": "none of them"}, "none of them"),
        ({"rope_parameters": {"rope_type": "none of them"}}, "none of them"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": "x"}}, "cannot load"),
        ({"rms_norm_eps": None}, "rms_norm_eps"),
        ({"max_position_embeddings": "x"}, "max_position_embeddings"),
        ({"sliding_window": "x"}, "cannot load"),
        ({"dtype": "none of them"}, "none of them"),
        ({"pad_token_id": 10**12}, "num_embeddings"),
        ({"pad_token_id": -500}, "num_embeddings"),
        ({"eos_token_id": "x"}, "eos_token_id"),
        ({"attention_bias": True}, "lacks 8 weights"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "is a LlamaForSequenceClassification, not a causal"),
        ({"model_type": ...}, "model_type"),
        ({"model_type": "not invented yet"}, "not invented yet"),
        ({"model_type": 5}, "5"),
        ({"model_type": ["llama"]}, "cannot load"),
        ({"model_type": "gpt2"}, "lacks 28 weights of a GPT2LMHeadModel"),
        ({"model_type": "t5"}, "of the type t5, not a causal"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, r"quantized \(gptq\).* GPTQ"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, r"quantized \(awq\).* gptqmodel"),
        ({"quantization_config": {"quant_method": "hqq"}}, r"quantized \(hqq\).* HQQ"),
        ({"quantization_config": {"quant_method": "quanto", "weights": "int8"}}, r"quantized \(quanto\)"),
        ({"quantization_config": {"quant_method": "none of them"}}, "does not know this method"),
        ({"quantization_config": {}}, "quantized"),
        ({"quantization_config": 5}, "cannot load"),
        ({"transformers_weights": "../model.safetensors"}, r"holds no \.safetensors weights"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_configuration_that_cannot_be_used(copy, changes, match):
    edit(copy / "config.json", **changes)
    refused(copy, match)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "tokenizer.json"])
@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b"5", bytes(range(256)), None], ids=["empty", "null", "list", "5", "binary", "cut"]
)
def test_damaged_json(copy, file, content):
    original = (copy / file).read_bytes()
    (copy / file).write_bytes(original[: len(original) // 2] if content is None else content)
    refused(copy, "model")


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("tokenizer_config.json", {"eos_token": 5}),
        ("tokenizer_config.json", {"pad_token": {"a": 1}}),
        ("tokenizer_config.json", {"model_max_length": "long"}),
        ("tokenizer_config.json", {"tokenizer_class": ["a"]}),
        ("tokenizer_config.json", {"extra_special_tokens": 5}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"1": 2}}),
        ("tokenizer_config.json", {"padding_side": "up"}),
        ("tokenizer.json", {"model": {"type": "BPE", "vocab": {"a": 10**12}, "merges": []}}),
        ("tokenizer.json", {"model": {"type": "BPE", "vocab": {}, "merges": [["a", "b"]]}}),
        ("generation_config.json", {"cache_implementation": "none of them"}),
        ("generation_config.json", {"pad_token_id": "x"}),
    ],
    ids=str,
)
def test_wrong_types_beside_the_configuration(copy, file, changes):
    edit(copy / file, **changes)
    refused(copy, "cannot load")


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool], ids=str)
def test_weights_of_whole_numbers(copy, dtype):
    spoil(copy, lambda weights: {WEIGHT: weights[WEIGHT].to(dtype)})
    refused(copy, f"quantized in a way .* {WEIGHT}")


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        (
            lambda _: {"score.weight": torch.zeros(1, 32)},
            "has 1 weights that a LlamaForCausalLM has not",
        ),
        (lambda _: {"v_head.summary.weight": torch.zeros(1, 32)}, "v_head"),
        (lambda _: {f"{WEIGHT}_scale": torch.ones(1)}, "up_proj.weight_scale"),
        (lambda _: {WEIGHT: torch.zeros(3, 3)}, r"up_proj.weight is \[3, 3\], not \[64, 32\]"),
        (lambda _: {WEIGHT: torch.tensor(1.0)}, "other shapes"),
        (lambda _: {WEIGHT: None}, "lacks 1 weights"),
    ],
    ids=["score", "value head", "scale", "shape", "scalar", "missing"],
)
def test_other_weights_than_those_of_the_model(copy, changed, match):
    spoil(copy, changed)
    refused(copy, match)


def spoil(folder, changed):
    weights = load_file(folder / "model.safetensors")
    weights = {name: weight for name, weight in (weights | changed(weights)).items() if weight is not None}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_tables_that_are_computed_may_be_in_the_file(copy):
    before = use(copy)
    spoil(copy, lambda _: {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(4)})
    assert torch.equal(use(copy), before)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_reward_model_whose_configuration_hides_it(tiny_model, copy, tied):
    config = LlamaConfig.from_pretrained(tiny_model, tie_word_embeddings=tied, num_labels=1)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(copy)
    edit(copy / "config.json", architectures=["LlamaForCausalLM"])
    refused(copy, "score.weight" if tied else "lm_head.weight")


@pytest.mark.parametrize(
    "content", [b"", b"{}", (10**18).to_bytes(8, "little") + b"{}", None], ids=["empty", "short", "header", "cut"]
)
def test_damaged_weight_files(copy, content):
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:2000] if content is None else content)
    refused(file.parent, rf"{file.name} is damaged")


def test_what_is_no_model(copy, tmp_path):
    for path in (copy / "config.json", copy / "model.safetensors"):
        refused(path, "is a file")
    os.mkfifo(tmp_path / "fifo")
    (copy / "config.json").unlink()
    for target in (tmp_path / "fifo", Path("/dev/zero")):
        (copy / "config.json").unlink(missing_ok=True)
        (copy / "config.json").symlink_to(target)
        refused(copy, r"no config\.json")
