"""Adapters by their configuration: the base they name, and whether their file can hold them."""

import json

import pytest

from sepo_data.errors import SepoError
from sepo_train.models.adapters import check_fits, read_base
from sepo_train.models.weights import Held

HELD = Held(frozenset({"a", "b"}), 128, 32)


@pytest.mark.parametrize(
    "config", [{}, *({"base_model_name_or_path": base} for base in (None, 5, "", " ", [], "a\0b"))]
)
def test_no_base(tmp_path, config):
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(SepoError, match="the adapter it names no base model"):
        read_base("it", tmp_path / "adapter_config.json")


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"r": 32, "lora_alpha": 10**6, "rank_pattern": {"q": 4}, "task_type": "CAUSAL_LM"},
        {"r": None, "rank_pattern": None, "layer_replication": None, "task_type": None},
        {"layer_replication": [[0, 1], [0, 1]]},
    ],
    ids=str,
)
def test_an_adapter_that_its_file_can_hold(config):
    check_fits("it", config, HELD)


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"r": 33}, "rank 33, but its file has no tensor longer than 32"),
        ({"r": 10**30}, "rank 1000"),
        ({"rank_pattern": {"q": 64}}, "rank 64"),
        ({"peft_type": "ADALORA", "init_r": 64}, "rank 64"),
        ({"layer_replication": [[0, 2], [0, 1]]}, "3 layers, but its file has 2 tensors"),
        ({"task_type": "SEQ_CLS"}, "for the task SEQ_CLS, not of a causal language model"),
    ],
    ids=str,
)
def test_an_adapter_that_its_file_cannot_hold(config, match):
    with pytest.raises(SepoError, match=match):
        check_fits("it", config, HELD)
