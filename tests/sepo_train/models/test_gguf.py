"""GGUF files: damaged ones are refused without leftovers, a real one is converted once."""

import json
import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from sepo_data.errors import SepoError
from sepo_data.storage.cache import cache_folder
from sepo_train.models.gguf import is_gguf, safetensors_folder
from sepo_train.models.load import load_model, model_record
from sepo_train.models.tokenizers import load_tokenizer
from tests.fixtures.planted import config_of_its_own, tokenizer_of_its_own, write_code

# Magic, version, no tensors, one key of metadata whose name is longer than the file.
HEADER = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_where_the_cache_is(monkeypatch):
    monkeypatch.setenv("SEPO_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere")
    monkeypatch.delenv("SEPO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/else")
    assert cache_folder() == Path("/else/sepo")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "sepo"


@pytest.mark.parametrize(("name", "means"), [("a.gguf", True), ("user/model-GGUF", False), ("folder", False)])
def test_what_means_a_gguf_file(name, means):
    assert is_gguf(name) is means


@pytest.mark.parametrize(
    "content",
    [b"", b"no GGUF at all" * 10, b"GGUF", HEADER, HEADER + struct.pack("<Q", 1 << 40) + b"x", HEADER + b"\xff" * 500],
    ids=["empty", "text", "magic", "header", "endless name", "rubbish"],
)
def test_damaged_files(tmp_path, cache, content):
    file = tmp_path / "damaged.gguf"
    file.write_bytes(content)
    with pytest.raises(SepoError, match=r"cannot read .*damaged\.gguf as GGUF") as caught:
        safetensors_folder(file)
    assert "damaged or unsupported" in caught.value.hint
    assert [path for path in cache.rglob("*") if path.name != "gguf"] == [], "nothing is left behind"


def test_no_such_file(tmp_path, cache):
    (tmp_path / "folder.gguf").mkdir()
    for name in ("none.gguf", "folder.gguf"):
        with pytest.raises(SepoError, match="does not exist"):
            load_model(str(tmp_path / name), dtype="float32")
    assert not cache.exists()


NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""Tensors of Llama in transformers and in GGUF."""


def write_gguf(model, file):
    """Write the tiny Llama in the folder `model` as a GGUF file, as llama.cpp's converter does."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    tokenizer = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"] | {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(vocabulary, key=vocabulary.get))
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(config["eos_token_id"])
    for name, weight in load_file(model / "model.safetensors").items():
        inner = name.removesuffix(".weight")
        block = ""
        if inner.startswith("model.layers."):
            number, inner = inner.removeprefix("model.layers.").split(".", 1)
            block = f"blk.{number}."
        if inner in {"self_attn.q_proj", "self_attn.k_proj"}:  # llama.cpp rotates pairs of neighbours, not halves
            heads = config["num_attention_heads" if inner == "self_attn.q_proj" else "num_key_value_heads"]
            halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
            stored = np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))
        else:
            stored = weight
        writer.add_tensor(f"{block}{NAMES[inner]}.weight", stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.unstable_api
def test_a_converted_model_computes_what_the_original_does(tiny_model, tmp_path, cache):
    """The names of what transformers attaches to a dequantized model are its own affair; without them none is saved."""
    file = tmp_path / "tiny.gguf"
    write_gguf(tiny_model, file)
    write_code(tmp_path, tmp_path / "canary")
    config_of_its_own(tmp_path, None)  # what lies beside the file is not read
    tokenizer_of_its_own(tmp_path, None)
    folder = safetensors_folder(file)
    assert not (tmp_path / "canary").exists()
    assert folder.parent == cache / "gguf"
    assert "quantization_config" not in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        ours, original = (load_model(str(name), dtype="float32")(ids).logits for name in (file, tiny_model))
    assert torch.allclose(ours, original, atol=1e-5)
    assert model_record(str(file)).parameters == model_record(str(tiny_model)).parameters
    ours, original = (load_tokenizer(str(name))("Tea, please.").input_ids for name in (file, tiny_model))
    assert ours == original


@pytest.mark.slow
@pytest.mark.smollm
def test_a_real_model_knows_paris(smollm_gguf, monkeypatch):
    folder = safetensors_folder(smollm_gguf)
    assert folder.parent == cache_folder() / "gguf"
    # From here on nothing may be converted again.
    monkeypatch.setattr("sepo_train.models.gguf._convert", None)
    assert safetensors_folder(smollm_gguf) == folder
    tokenizer, model = load_tokenizer(str(smollm_gguf)), load_model(str(smollm_gguf), dtype="float32")
    ids = tokenizer("The capital of France is", return_tensors="pt")
    with torch.inference_mode():
        answer = model.generate(**ids, max_new_tokens=5, do_sample=False, pad_token_id=tokenizer.eos_token_id)
    assert "Paris" in tokenizer.decode(answer[0])
    assert model_record(str(smollm_gguf)).parameters == 134_515_008


@pytest.mark.unstable_api
def test_a_conversion_that_was_killed_is_removed_by_the_next(tiny_model, tmp_path, cache):
    write_gguf(tiny_model, tmp_path / "tiny.gguf")
    dead = cache / "gguf" / "0000.0123abcd.sepo-tmp"
    dead.mkdir(parents=True)
    (dead / ".owner").touch()
    folder = safetensors_folder(tmp_path / "tiny.gguf")
    assert list(folder.parent.iterdir()) == [folder]
    assert not list(folder.glob(".*"))
