"""Outputs of a model that is not what it seems are refused while they are collected."""

import pytest

from sepo_data.errors import SepoError
from sepo_train.engine.generate import Generation
from sepo_train.evaluation import model_outputs
from sepo_train.evaluation.model_outputs import collect_outputs
from sepo_train.models.load import load_model
from tests.sepo_train.engine.test_choose_lengths import forgetful
from tests.sepo_train.models.test_weight_changes import CHANGES, changing


def seeing(model):
    model.get_input_embeddings().register_forward_hook(lambda _module, _args, embedded: embedded + embedded[:, -1:])
    return model


@pytest.fixture
def collect(tiny_model, random_trees, monkeypatch):
    trees = random_trees(*[(3, 4, 5)] * 120, (20, 37, 30))

    def call(made):
        monkeypatch.setattr(model_outputs, "load_model", lambda *given, **more: made(load_model(*given, **more)))
        return collect_outputs(str(tiny_model), trees, [], Generation(max_new_tokens=4), samples=2, dtype="float32")

    return call


def test_the_longest_pair_decides_the_layout(collect):
    assert collect(lambda model: model).layout.startswith("shared prompt")
    assert collect(lambda model: forgetful(model, 60)).layout.startswith("unshared: a shared prompt changes")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (seeing, "sees the future"),
        (lambda model: changing(model, 40, CHANGES["all of them"]), "changed its own weights"),
    ],
)
def test_a_model_that_cannot_be_evaluated(collect, made, message):
    with pytest.raises(SepoError, match=message):
        collect(made)
