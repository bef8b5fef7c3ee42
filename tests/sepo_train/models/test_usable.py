"""Configurations as JSON: which are refused before anything is built from them, and why."""

import json

import pytest

from sepo_data.errors import SepoError
from sepo_train.models.usable import LARGEST_FILE, as_object, check_causal, check_sizes, read_json

LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 32, "vocab_size": 384}


@pytest.mark.parametrize(
    "sizes",
    [
        {"num_hidden_layers": 10**7},
        {"n_layer": 10**7},
        {"decoder_layers": 10**7},
        {"num_attention_heads": 0},
        {"num_local_experts": 10**9},
        {"n_routed_experts": 10**9},
        {"hidden_size": 10**9},
        {"hidden_size": 0},
        {"n_embd": -1},
        {"d_model": 10**30},
        {"vocab_size": 10**12},
        {"vocab_size": float("nan")},
        {"vocab_size": float("inf")},
        {"text_config": {"intermediate_size": 10**10}},
        {"layers": [{"head_dim": 10**10}]},
        {"intermediate_size": [64, 10**10]},
    ],
    ids=str,
)
def test_a_size_that_no_model_has(sizes):
    with pytest.raises(SepoError, match=r"cannot load it: \w+ in its config\.json is ") as caught:
        check_sizes("it", LLAMA | sizes)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "others",
    [
        {},
        {"num_experts": 16384},
        {"rope_theta": 10**12, "max_position_embeddings": 10**8, "sliding_window": -1, "n_inner": None},
        {"num_local_experts": 0, "num_key_value_heads": None, "pad_token_id": -1, "eos_token_id": 10**12},
        {"num_hidden_layers": "2", "hidden_size": True},  # transformers says which type is expected
    ],
    ids=str,
)
def test_what_is_left_to_the_library(others):
    check_sizes("it", LLAMA | others)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"architectures": ["LlamaForSequenceClassification"]}, "a LlamaForSequenceClassification"),
        ({"architectures": ["LlamaForTokenClassification"]}, "a LlamaForTokenClassification"),
        ({"architectures": ["LlamaForQuestionAnswering"]}, "a LlamaForQuestionAnswering"),
        ({"architectures": ["LlamaModel"]}, "a LlamaModel"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "a BertForMaskedLM"),
        ({"model_type": "bert", "architectures": None}, "an encoder"),
        ({"model_type": "roberta", "architectures": ["RobertaForCausalLM"]}, "an encoder"),
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, "a model of the type t5"),
        ({"model_type": "t5", "is_encoder_decoder": True}, "an encoder-decoder"),
        ({"model_type": "bart", "architectures": ["BartForConditionalGeneration"]}, "a BartForConditionalGeneration"),
        ({"model_type": "vit", "architectures": ["ViTModel"]}, "a model of the type vit"),
        ({"model_type": "llava", "vision_config": {}}, "a model of text and vision of the type llava"),
        ({"is_causal": False}, "attends to the tokens that follow"),
        ({"text_config": {"use_bidirectional_attention": True}}, "attends to the tokens that follow"),
    ],
    ids=str,
)
def test_another_kind_of_model(changes, kind):
    with pytest.raises(SepoError, match=rf"it is .*{kind}.*, not a causal language model"):
        check_causal("it", LLAMA | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"architectures": None},
        {"architectures": "LlamaForSequenceClassification"},
        {"architectures": ["MyLlamaForCausalLM"]},
        {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]},
        {"model_type": "bert", "architectures": ["BertLMHeadModel"], "is_decoder": True},
        {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "text_config": {}},
        {"model_type": "unheard of", "architectures": ["UnheardOf"]},
        {"model_type": ["llama"], "text_config": 5, "auto_map": 5, "use_bidirectional_attention": [1]},
        {"architectures": ["Own"], "auto_map": {"AutoModelForCausalLM": "own.Own"}},
    ],
    ids=str,
)
def test_causal_language_models_and_what_transformers_names(changes):
    check_causal("it", LLAMA | changes)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"a": 1', b"\x80\xff", b"[" * 100_000, b'{"a":' + b"9" * 5000 + b"}", b" " * (LARGEST_FILE + 1)],
    ids=["empty", "brace", "cut", "binary", "deep", "digits", "long"],
)
def test_a_file_that_is_no_json(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(SepoError, match=r"config\.json cannot be read as JSON: "):
        read_json(tmp_path / "config.json")


@pytest.mark.parametrize("value", [None, 5, "x", [], [{}]])
def test_json_that_is_no_object(tmp_path, value):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(value))
    with pytest.raises(SepoError, match=r"cannot load it: its config\.json holds no JSON object"):
        as_object(read_json(file), "it", file.name)
