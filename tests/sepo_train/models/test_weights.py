"""Weight files by their headers: which are read, and what they can hold."""

import json

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig

from sepo_data.errors import SepoError
from sepo_train.models.weights import Held, held_weights, parameters_within, weight_files

CONFIG = LlamaConfig(
    vocab_size=16,
    hidden_size=8,
    intermediate_size=8,
    num_hidden_layers=1,
    num_attention_heads=1,
    tie_word_embeddings=True,
)
# embedding 16 * 8, attention 4 * 8 * 8, feed-forward 3 * 8 * 8, three norms of 8
PARAMETERS = 128 + 256 + 192 + 24


def test_what_a_file_holds(tmp_path):
    weights = {"a.weight": torch.zeros(3, 4), "b.weight": torch.zeros(2, dtype=torch.int32), "c": torch.zeros(5).long()}
    save_file(weights, tmp_path / "a.safetensors")
    held = held_weights([tmp_path / "a.safetensors"])
    assert held.names == {"a.weight", "b.weight", "c"}
    assert held.parameters == 12 + 2 * 32 + 5 * 64
    assert held.longest == 5
    assert held.packed == {"b.weight"}, "a table of whole numbers is no weight"


@pytest.fixture
def sharded(tmp_path):
    for name in ("a.safetensors", "b.safetensors"):
        (tmp_path / name).touch()

    def write(weight_map):
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
        return tmp_path

    return write


def test_one_file_or_those_of_the_index(sharded):
    folder = sharded({"x": "b.safetensors", "y": "a.safetensors", "z": "b.safetensors"})
    assert [file.name for file in weight_files(folder)] == ["a.safetensors", "b.safetensors"]
    (folder / "model.safetensors").touch()
    assert [file.name for file in weight_files(folder)] == ["model.safetensors"]
    assert [file.name for file in weight_files(folder, "a.safetensors")] == ["a.safetensors"]


@pytest.mark.parametrize(
    ("weight_map", "match"),
    [
        ({"x": "../a.safetensors"}, r"names '\.\./a\.safetensors', a file outside of the folder"),
        ({"x": "/etc/passwd"}, "a file outside of the folder"),
        ({"x": "sub/a.safetensors"}, "a file outside of the folder"),
        ({"x": ""}, "a file outside of the folder"),
        ({"x": "c.safetensors", "y": "a.safetensors"}, r"lacks c\.safetensors, one of 2 files"),
        ({"x": 5}, "is damaged"),
        ({"x": None, "y": "a.safetensors"}, "is damaged"),
        ([], "is damaged"),
        (None, "is damaged"),
    ],
    ids=str,
)
def test_an_index_that_cannot_be_followed(sharded, weight_map, match):
    with pytest.raises(SepoError, match=match):
        weight_files(sharded(weight_map))


def test_what_the_files_have_no_room_for():
    def within(held):
        return parameters_within("it", CONFIG, AutoModelForCausalLM, held)

    names = frozenset({"a", "b"})
    assert within(None) == within(Held(names, PARAMETERS, 16)) == within(Held(names, PARAMETERS // 2, 16)) == PARAMETERS
    with pytest.raises(SepoError, match=r"it has 600 parameters, but its files hold at most 299"):
        within(Held(names, PARAMETERS // 2 - 1, 16))
    with pytest.raises(SepoError, match="1 layers, but its files hold 0 tensors"):
        within(Held(frozenset(), PARAMETERS, 16))
    with pytest.raises(
        SepoError, match=r"quantized in a way that its config\.json does not tell: a holds whole numbers"
    ):
        within(Held(names, PARAMETERS, 16, frozenset({"b", "a"})))
