"""Decisions of the training of a model are the defaults of its evaluation, and exchanged models are noted."""

import json

import pytest

from sepo_data.preferences.reading import Reading
from sepo_train.evaluation.evaluate import evaluate
from sepo_train.evaluation.from_training import inherited_lengths, note_exchanged
from sepo_train.training.oracle import train_oracle
from sepo_train.training.settings import Training


@pytest.fixture(scope="module")
def oracle(examples, tiny_model, tmp_path_factory):
    """A model trained on pairs that were cut to 95 tokens."""
    out = tmp_path_factory.mktemp("evaluated") / "oracle"
    options = {"training": Training(lr=1e-3, batch_size=8), "max_length": 95, "truncate": "prompt"}
    train_oracle(Reading(str(examples), limit=6), out, ref=str(tiny_model), **options)
    return str(out)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((None, None), (95, "prompt")),
        ((80, None), (80, "prompt")),
        ((None, "response"), (95, "response")),
        ((200, "none"), (200, None)),
    ],
)
def test_lengths_are_those_of_training(oracle, tiny_model, new_progress, given, expected):
    told = new_progress()
    options = {"trust_remote_code": False, "progress": told}
    assert inherited_lengths([oracle, str(tiny_model)], *given, **options) == expected
    assert len(told) == (given[1] is None)
    assert inherited_lengths([str(tiny_model), oracle], None, None, **options) == (None, None)


def test_a_length_that_exceeds_a_context_is_not_taken(oracle, save_tiny, tmp_path, new_progress):
    short = save_tiny(tmp_path / "short")
    config = json.loads((short / "config.json").read_text()) | {"max_position_embeddings": 60}
    (short / "config.json").write_text(json.dumps(config))
    options = {"trust_remote_code": False, "progress": new_progress()}
    assert inherited_lengths([oracle, str(short)], None, None, **options) == (None, "prompt")


@pytest.mark.parametrize("exchanged", [True, False])
def test_the_model_before_training_against_the_one_after_it(oracle, tiny_model, examples, new_progress, exchanged):
    told, names = new_progress(), [oracle, str(tiny_model)]
    model, against = reversed(names) if exchanged else names
    evaluate(model, Reading(str(examples), limit=12), against=against, kl_samples=0, progress=told)
    noted = [note for note in told if "the other way round it is" in note]
    assert len(noted) == exchanged
    assert all(note.endswith(f"sepo evaluate {oracle} --against {tiny_model}") for note in noted)


def test_equal_models_are_not_exchanged(oracle, new_progress):
    told = new_progress()
    note_exchanged({"model": oracle, "against": oracle}, {"model": "a", "against": "a"}, told)
    assert told == []
