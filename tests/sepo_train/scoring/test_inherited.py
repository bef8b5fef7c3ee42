"""The options that the oracle's training decided are those of scoring, unless others are given."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sepo_data.errors import SepoError
from sepo_data.preferences.reading import Reading
from sepo_data.stages.trained_models import token_options, trained_manifest
from sepo_train.scoring.inherited import DIFFERING
from sepo_train.scoring.options import ScoringOptions
from sepo_train.scoring.score import score
from sepo_train.training.oracle import train_oracle
from sepo_train.training.settings import Training
from tests.conftest import CHATML

DATED = "{{ strftime_now('%d %B %Y') }}\n" + CHATML
DECIDED = {"beta": 0.5, "max_length": 95, "truncate": "prompt", "template_date": "2024-07-26"}
GIVEN = {"beta": 0.25, "max_length": 101, "truncate": "response", "template_date": "2025-01-31"}


@pytest.fixture(scope="module")
def reading(examples):
    return Reading(str(examples), limit=12)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Templates as files: `dated`, with which the oracle is trained, and another one."""
    folder = tmp_path_factory.mktemp("templates")
    (folder / "dated.jinja").write_text(DATED, encoding="utf-8")
    (folder / "other.jinja").write_text("Once. " + DATED, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def oracle(reading, tiny_model, template, tmp_path_factory):
    out = tmp_path_factory.mktemp("inherited") / "oracle"
    options = DECIDED | {"chat_template": template / "dated.jinja"}
    train_oracle(reading, out, ref=str(tiny_model), training=Training(lr=1e-3, batch_size=8), **options)
    return out


@pytest.fixture
def planned(reading, oracle, tiny_model, tmp_path, new_progress):
    """The manifest that `score` would write with some options, and its notes."""

    def plan(reading=reading, oracle=oracle, **options):
        told = new_progress()
        models = {"oracle": str(oracle), "ref": str(tiny_model)}
        out, options = tmp_path / "rewards", ScoringOptions(**options)
        return score(reading, out, **models, options=options, dry_run=True, progress=told), told

    return plan


def test_what_training_decided_is_the_default(planned, oracle):
    manifest, told = planned()
    assert {name: manifest.options[name] for name in DECIDED} == DECIDED
    assert manifest.tokenizer.chat_template == trained_manifest(str(oracle)).tokenizer.chat_template
    assert DIFFERING not in manifest.results
    [note] = [note for note in told if note.startswith("as the oracle was trained: ")]
    assert all(f"{name} {value}" in note for name, value in DECIDED.items())
    assert not [note for note in told if note.startswith("note: the oracle")]


@pytest.mark.parametrize("name", GIVEN)
def test_another_value_is_taken_noted_and_recorded(planned, name):
    manifest, told = planned(**{name: GIVEN[name]})
    assert {each: manifest.options[each] for each in DECIDED} == DECIDED | {name: GIVEN[name]}
    assert manifest.results[DIFFERING] == {name: DECIDED[name]}
    [note] = [note for note in told if note.startswith("note: the oracle")]
    assert f"{name} {DECIDED[name]}" in note
    assert str(GIVEN[name]) in note


@pytest.mark.parametrize("name", DECIDED)
def test_the_same_value_given_is_no_difference(planned, name):
    manifest, told = planned(**{name: DECIDED[name]})
    assert manifest.fingerprint == planned()[0].fingerprint
    assert DIFFERING not in manifest.results
    assert not [note for note in told if note.startswith("note: the oracle")]


def test_nothing_is_cut_where_that_is_asked_for(planned):
    manifest, told = planned(truncate="none")
    assert manifest.options["truncate"] is None
    assert manifest.results[DIFFERING] == {"truncate": "prompt"}
    assert "too_long" in manifest.results["skipped"], "pairs that the oracle's training cut"
    assert any("truncate" in note for note in told if note.startswith("note: the oracle"))


def test_another_template_is_taken_noted_and_recorded(planned, oracle, template):
    trained_with = trained_manifest(str(oracle)).tokenizer.chat_template
    manifest, told = planned(chat_template=template / "other.jinja")
    assert manifest.tokenizer.chat_template != trained_with
    assert manifest.results[DIFFERING] == {"chat_template": trained_with}
    assert any("another chat template" in note for note in told)
    assert DIFFERING not in planned(chat_template=template / "dated.jinja")[0].results


def test_a_template_that_was_changed_after_training_is_refused(planned, oracle, tmp_path, template):
    changed = shutil.copytree(oracle, tmp_path / "oracle")
    (changed / "chat_template.jinja").write_text("Once. " + DATED, encoding="utf-8")
    with pytest.raises(SepoError, match="another chat template than the one in its folder"):
        planned(oracle=changed)
    assert planned(oracle=changed, chat_template=template / "dated.jinja")[0].results


def test_an_oracle_without_a_record_has_the_defaults(planned, tiny_models):
    manifest, told = planned(oracle=tiny_models["oracle"])
    assert {name: manifest.options.get(name) for name in DECIDED} == {
        "beta": 0.1,
        "max_length": 512,
        "truncate": None,
        "template_date": None,
    }
    assert not [note for note in told if "as the oracle was trained" in note]


def test_a_length_that_is_the_default_is_not_noted(planned, reading, tiny_model, tmp_path):
    train_oracle(reading, tmp_path / "oracle", ref=str(tiny_model), training=Training(lr=1e-3, batch_size=8))
    manifest, told = planned(oracle=tmp_path / "oracle")
    assert manifest.options["max_length"] == 512
    assert not [note for note in told if "as the oracle was trained" in note]


def test_the_record_of_scoring_is_that_of_its_plan(reading, oracle, tiny_model, tmp_path):
    models = {"oracle": str(oracle), "ref": str(tiny_model)}
    out = tmp_path / "rewards"
    manifest = score(reading, out, **models, options=ScoringOptions(beta=0.25))
    assert manifest.results[DIFFERING] == {"beta": 0.5}
    (out / "skipped.jsonl").unlink()
    restored = score(reading, out, **models, options=ScoringOptions(beta=0.25))
    assert restored.results[DIFFERING] == {"beta": 0.5}
    assert score(reading, tmp_path / "as_trained", **models).options["beta"] == 0.5


@pytest.mark.parametrize(
    ("changed", "name"),
    [({"dedupe": True}, "dedupe"), ({"holdout": "20%"}, "holdout"), ({"limit": 6}, ""), ({"shuffle": True}, "")],
)
def test_other_options_of_reading_the_same_data_are_noted(planned, reading, oracle, tmp_path, *, changed, name):
    shutil.copytree(oracle, tmp_path / "oracle")
    (tmp_path / "oracle" / "seen_pairs.jsonl").write_text("", encoding="utf-8")
    manifest = trained_manifest(str(oracle))
    emptied = manifest.model_copy(update={"results": manifest.results | {"pairs_seen": 0}})
    (tmp_path / "oracle" / "sepo.json").write_text(emptied.to_json(), encoding="utf-8")
    _, told = planned(reading=replace(reading, **changed), oracle=tmp_path / "oracle")
    noted = [note for note in told if "trained on this dataset with" in note]
    assert len(noted) == bool(name), told
    assert all(f"with {name}" in note for note in noted)


def test_the_options_of_a_model_that_sepo_did_not_train(tmp_path):
    assert token_options(trained_manifest(str(tmp_path))) == {}
    assert token_options(trained_manifest("user/model")) == {}
    assert token_options(trained_manifest(str(Path(tmp_path, "nowhere")))) == {}
