"""Errors of libraries become a sentence of theirs and one of ours; those of sepo itself stay what they are."""

import pytest
import torch

from sepo_data.errors import SepoError
from sepo_train.models.files import library_errors


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
