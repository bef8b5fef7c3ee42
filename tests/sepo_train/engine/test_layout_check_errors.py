"""Errors of a model's own code on the pairs that layouts are tried on: a sentence, unless sepo made them."""

import pytest

from sepo_data.errors import SepoError
from sepo_train.engine.choose import choose_layout_policy


def code_of(module):
    names = {"__name__": module}
    exec("def forward(*_, **__):\n    raise ValueError('the sequence is no multiple of 64')", names)  # noqa: S102
    return names["forward"]


def test_an_error_of_the_model_is_a_sentence(llama, random_trees, monkeypatch):
    monkeypatch.setattr(llama.model, "forward", code_of("transformers_modules.some.model"))
    with pytest.raises(
        SepoError, match="cannot be run on a row of 7 tokens: the sequence is no multiple of 64"
    ) as caught:
        choose_layout_policy([llama], random_trees((5, 3, 2)), batch_tokens=64)
    assert "--max-length" in caught.value.hint


def test_a_bug_in_sepo_keeps_its_traceback(llama, random_trees, monkeypatch):
    monkeypatch.setattr(llama.model, "forward", code_of("sepo_train.engine.layout"))
    with pytest.raises(ValueError, match="multiple of 64"):
        choose_layout_policy([llama], random_trees((5, 3, 2)), batch_tokens=64)
