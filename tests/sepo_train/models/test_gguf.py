"""GGUF files: damaged ones are refused without leftovers, a real one is converted once."""

import struct
from pathlib import Path

import pytest
import torch

from sepo_data.errors import SepoError
from sepo_data.storage.download import cache_folder
from sepo_train.models.gguf import is_gguf, safetensors_folder
from sepo_train.models.load import load_model, load_tokenizer, model_record

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
