"""The files of a model: undocumented helpers of transformers that find them."""

import json

import pytest
from transformers.utils.hub import extract_commit_hash
from transformers.utils.peft_utils import find_adapter_config_file

from sepo_train.models.files import ADAPTER, adapter_base

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.unstable_api
def test_the_commit_is_part_of_the_path_in_the_hubs_cache():
    assert extract_commit_hash(f"/cache/models--user--one/snapshots/{COMMIT}/config.json", None) == COMMIT
    assert extract_commit_hash("/folder/config.json", None) is None


@pytest.mark.unstable_api
def test_the_configuration_of_an_adapter_is_found_in_its_folder(tiny_model, tmp_path):
    (tmp_path / ADAPTER).write_text(json.dumps({"base_model_name_or_path": str(tiny_model)}), encoding="utf-8")
    assert find_adapter_config_file(str(tmp_path), revision=None) == str(tmp_path / ADAPTER)
    assert find_adapter_config_file(str(tiny_model), revision=None) is None
    assert adapter_base(str(tmp_path)) == str(tiny_model)
    assert adapter_base(str(tiny_model)) is None
