"""The files of a model: helpers of transformers that find them, and the errors of libraries that read and run it."""

import json

import pytest
import torch
from transformers.utils.hub import extract_commit_hash
from transformers.utils.peft_utils import find_adapter_config_file

from sepo_data.errors import SepoError
from sepo_train.models.files import ADAPTER, adapter_base, library_errors

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


def code_of(module, error):
    """A function of a module that raises `error`."""
    names = {"__name__": module, "error": error}
    exec("def fail():\n    raise error", names)  # noqa: S102
    return names["fail"]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("Module 'out_proj' is incompatible. Remove it."), "Module 'out_proj' is incompatible. Remove it."),
        (NotImplementedError(), "NotImplementedError"),
        (KeyError("layers"), "KeyError: 'layers'"),
        (
            ImportError("needs bitsandbytes: `pip install bitsandbytes`"),
            "needs bitsandbytes: `pip install bitsandbytes`",
        ),
        (RuntimeError("The size of tensor a (3) must match.\nMore"), "The size of tensor a (3) must match."),
        (AssertionError("odd"), "AssertionError: odd"),
        (TypeError("forward() got an unexpected keyword"), "TypeError: forward() got an unexpected keyword"),
    ],
    ids=repr,
)
def test_an_error_of_a_library(error, sentence):
    for module in ("peft.tuners.lora", "transformers_modules.some.model", "torch.nn", "sepo_of_somebody_else"):
        with pytest.raises(SepoError) as caught, library_errors("it cannot be wrapped", "leave out --lora-r"):
            code_of(module, error)()
        assert str(caught.value) == f"it cannot be wrapped: {sentence}"
        assert caught.value.hint == "leave out --lora-r"
        assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        KeyboardInterrupt(),
        SepoError("ours"),
        SystemExit(3),
    ],
    ids=repr,
)
def test_what_others_handle_passes(error):
    with pytest.raises(type(error)) as caught, library_errors("it fails", "?"):
        code_of("torch.nn", error)()
    assert caught.value is error


@pytest.mark.parametrize("module", ["sepo_train.engine.layout", "sepo_data.share", "sepo_train"])
def test_a_bug_in_sepo_keeps_its_traceback(module):
    with pytest.raises(ValueError, match="a bug"), library_errors("it fails", "?"):
        code_of(module, ValueError("a bug"))()


def test_an_error_that_a_library_raises_for_sepo(random_trees):
    """The last frame decides: sepo's code that calls a library in a wrong way raises in the library."""
    with pytest.raises(SepoError, match="it fails: "), library_errors("it fails", "?"):
        torch.nn.functional.linear(torch.ones(2, 3), torch.ones(2, 4))
