"""Weights are compared as numbers, whatever the files and the number type that they are stored in."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from sepo_train.models.same_weights import same_weights


@pytest.fixture
def saved(tiny_model, tmp_path):
    """Save `tiny_model` again after a change, and give its folder."""

    def save(change=lambda model: model, **options):
        model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=options.pop("dtype", torch.float32))
        with torch.no_grad():
            change(model)
        model.save_pretrained(tmp_path / "copy", **options)
        return str(tmp_path / "copy")

    return save


@pytest.mark.parametrize(
    "options", [{}, {"max_shard_size": "20KB"}, {"dtype": torch.bfloat16}, {"dtype": torch.float16}]
)
def test_copies(saved, tiny_model, options):
    assert same_weights(str(tiny_model), saved(**options))


def _largest(model):
    model.get_input_embeddings().weight[7, 3] += 0.5


def _smallest(model):
    model.model.norm.weight[0] += 1


def _all(model):
    for parameter in model.parameters():
        parameter.mul_(1 + 2**-6)


@pytest.mark.parametrize("change", [_largest, _smallest, _all])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_changes(saved, tiny_model, change, dtype):
    assert not same_weights(str(tiny_model), saved(change, dtype=dtype))
    assert not same_weights(saved(change, dtype=dtype), str(tiny_model))


def test_models_of_other_sizes_and_none(tiny_model, tiny_models, save_tiny, tmp_path):
    assert same_weights(str(tiny_model), str(tiny_model))
    assert not same_weights(str(tiny_model), str(tiny_models["oracle"]))
    assert not same_weights(str(tiny_model), str(save_tiny(tmp_path / "other", kind="qwen2")))
