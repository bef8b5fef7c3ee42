"""Pairs that an evaluation measures on."""

import json

import pytest

from sepo_data import scan
from sepo_data.console.progress import SILENT
from sepo_data.errors import SepoError
from sepo_data.preferences.reading import Reading
from sepo_data.selection.select import select
from sepo_data.stages.seen_pairs import SEEN
from sepo_train.evaluation.holdout_pairs import read_holdout_pairs
from sepo_train.scoring.score import score
from sepo_train.training.oracle import train_oracle
from sepo_train.training.policy import train
from sepo_train.training.settings import Training

pytestmark = pytest.mark.slow


def held_out(reading, *models, **options):
    given = {"max_length": None, "truncate": None, "chat_template": None} | options
    reading = reading if isinstance(reading, Reading) else Reading(str(reading))
    return read_holdout_pairs(reading, models, progress=SILENT, **given)


@pytest.fixture(scope="module")
def models(tiny_models):
    return {role: str(folder) for role, folder in tiny_models.items()}


@pytest.fixture(scope="module")
def scored(tmp_path_factory, examples, models):
    """16 pairs, some of which are held out; and the selection of them."""
    folder = tmp_path_factory.mktemp("held out")
    score(Reading(str(examples), limit=16, holdout=5), folder / "rewards", **models)
    select(folder / "rewards", folder / "selection")
    return folder


def ids(tree):
    return list(tree.prompt_ids), *map(list, tree.responses)


def test_all_pairs_of_a_dataset(examples, models):
    found = held_out(Reading(str(examples), limit=8), models["ref"])
    assert (len(found.trees), found.which, found.skipped) == (8, "all", {})
    assert found.name == str(examples)


def test_holdout_measures_on_what_training_leaves_out(examples, models, scored):
    found = held_out(Reading(str(examples), limit=16, holdout=5), models["ref"])
    assert len(found.trees) == 5
    assert "--holdout" in found.which
    for stage in ("rewards", "selection"):
        stored = held_out(scored / stage, models["ref"])
        assert sorted(map(ids, stored.trees)) == sorted(map(ids, found.trees))
        assert stored.which == "those whose column split says holdout"
    assert len(held_out(Reading(str(scored / "rewards"), limit=2), models["ref"]).trees) == 2


def test_rows_that_cannot_be_used_are_counted(twelve_pairs, models):
    assert held_out(twelve_pairs, models["ref"]).skipped == {"null": 1}
    found = held_out(twelve_pairs, models["ref"], max_length=40)
    assert found.skipped["too_long"] > 0
    assert len(found.trees) + sum(found.skipped.values()) == 12


def test_pairs_of_a_directory_that_are_too_long(scored, models):
    longest = max(
        len(tree.prompt_ids) + max(map(len, tree.responses))
        for tree in held_out(scored / "rewards", models["ref"]).trees
    )
    found = held_out(scored / "rewards", models["ref"], max_length=longest - 1)
    assert (len(found.trees), found.skipped) == (4, {"too_long": 1})


def test_what_the_oracle_has_seen_is_left_out(tmp_path, examples, models):
    reading = Reading(str(examples), limit=12)
    training = Training(lr=1e-3, batch_size=4, micro_batch_size=4)
    train_oracle(reading, tmp_path / "oracle", ref=models["ref"], fraction=5000, training=training)
    oracle = str(tmp_path / "oracle")
    found = held_out(reading, oracle, models["ref"])
    assert (len(found.trees), found.which) == (6, "those that the oracle has not seen")
    score(reading, tmp_path / "rewards", oracle=oracle, ref=models["ref"])
    stored = held_out(tmp_path / "rewards", oracle)
    assert list(map(ids, stored.trees)) == list(map(ids, found.trees))
    unseen = scan(tmp_path / "rewards").select("oracle_seen").collect()["oracle_seen"]
    assert (~unseen).sum() == 6
    lines = examples.read_text(encoding="utf-8").splitlines()
    seen = [json.loads(line)["source_row"] for line in (tmp_path / "oracle" / SEEN).read_text("utf-8").splitlines()]
    (tmp_path / "seen.jsonl").write_text("".join(lines[row] + "\n" for row in seen), encoding="utf-8")
    with pytest.raises(SepoError, match=r"no pair of .* is left to measure on"):
        held_out(tmp_path / "seen.jsonl", oracle)


def test_a_directory_takes_no_options_of_reading(scored, models):
    with pytest.raises(SepoError, match="--limit alone"):
        held_out(Reading(str(scored / "rewards"), holdout=3), models["ref"])


def test_another_vocabulary(scored, save_tiny, tmp_path):
    other = save_tiny(tmp_path / "other", vocabulary=300)
    with pytest.raises(SepoError, match="different vocabularies"):
        held_out(scored / "rewards", str(other))


def test_what_is_not_there(tmp_path, models):
    with pytest.raises(SepoError, match="no such file"):
        held_out(tmp_path / "missing.jsonl", models["ref"])


def test_what_the_policy_kept_out_is_measured_on(tmp_path, examples, models):
    score(Reading(str(examples), limit=16), tmp_path / "rewards", **models)
    select(tmp_path / "rewards", tmp_path / "selection")
    training = Training(lr=1e-3, batch_size=4, micro_batch_size=4)
    whole, part = tmp_path / "whole", tmp_path / "part"
    train(tmp_path / "selection", whole, policy=models["ref"], training=training)
    found = held_out(tmp_path / "selection", str(whole))
    assert (len(found.trees), found.which) == (16, "all, and the model was trained on them")
    manifest = train(tmp_path / "selection", part, policy=models["ref"], training=training, holdout="30%")
    found = held_out(tmp_path / "selection", str(part))
    assert found.which == "those that --holdout 30% kept out"
    assert len(found.trees) == 16 - manifest.results["pairs"]
    assert json.loads((part / "sepo.json").read_text(encoding="utf-8"))["options"]["holdout"] == "30%"
