"""Repair of a rewards dataset by the same call of `score`: one lost shard costs one shard, other files none."""

import shutil

import pytest

from sepo_data.stages.directory import read_manifest, record_results
from sepo_train.scoring import score as module
from sepo_train.scoring.options import ScoringOptions
from sepo_train.scoring.score import score
from tests.fixtures.damage import OF_FILES, OF_SHARDS, lose, lose_shards


@pytest.fixture(scope="module")
def call(twelve_pairs, tiny_models):
    """Score `twelve_pairs` in three shards."""
    models = {role: str(folder) for role, folder in tiny_models.items()}

    def call(out, **more):
        return score(str(twelve_pairs), out, **models, options=ScoringOptions(shard_rows=4), **more)

    return call


@pytest.fixture(scope="module")
def whole(call, tmp_path_factory):
    out = tmp_path_factory.mktemp("restore") / "rewards"
    call(out)
    return out


@pytest.fixture
def scored(monkeypatch):
    """The shards that are scored from now on."""
    found = []
    write = module._write_shard

    def counted(stage, index, *more, **named):
        found.append(index)
        return write(stage, index, *more, **named)

    monkeypatch.setattr(module, "_write_shard", counted)
    return found


def bytes_of(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", OF_SHARDS)
def test_only_lost_shards_are_scored_again(whole, call, scored, tmp_path, *, new_progress, name):
    harm, lost = OF_SHARDS[name]
    harm(shutil.copytree(whole, tmp_path / "rewards"))
    told = new_progress()
    manifest = call(tmp_path / "rewards", progress=told)
    assert scored == (lost if lost is not None else [0, 1, 2])
    assert bytes_of(tmp_path / "rewards") == bytes_of(whole)
    assert [note.partition(": data-0000")[0] for note in told if "repairing" in note] == [
        f"repairing {tmp_path / 'rewards'}"
    ]
    assert not any("nothing to do" in note for note in told)
    second = new_progress()
    assert call(tmp_path / "rewards", progress=second) == manifest
    assert second[-1] == f"{tmp_path / 'rewards'} is complete (3 of 3 shards); nothing to do"


@pytest.mark.parametrize("name", OF_FILES)
def test_other_files_are_made_again_without_a_model(whole, call, tmp_path, new_progress, *, monkeypatch, name):
    OF_FILES[name](shutil.copytree(whole, tmp_path / "rewards"))
    monkeypatch.setattr("sepo_train.scoring.model_pair.load_model", None)
    told = new_progress()
    manifest = call(tmp_path / "rewards", progress=told)
    assert bytes_of(tmp_path / "rewards") == bytes_of(whole)
    assert not any("nothing to do" in note for note in told)
    assert any("repairing" in note or "made again: tokenizer/" in note for note in told)
    second = new_progress()
    assert call(tmp_path / "rewards", progress=second) == manifest
    assert second[-1] == f"{tmp_path / 'rewards'} is complete (3 of 3 shards); nothing to do"


def test_a_lost_list_of_skipped_rows_beside_a_lost_shard(whole, call, scored, tmp_path):
    shutil.copytree(whole, tmp_path / "rewards")
    lose_shards(2)(tmp_path / "rewards")
    lose("skipped.jsonl")(tmp_path / "rewards")
    call(tmp_path / "rewards")
    assert scored == [2], "the skipped row is in the shard before, whose rows were read again"
    assert bytes_of(tmp_path / "rewards") == bytes_of(whole)


def test_measurements_stay(whole, call, tmp_path):
    shutil.copytree(whole, tmp_path / "rewards")
    manifest = read_manifest(whole)
    measured = record_results(tmp_path / "rewards", {**manifest.results, "precision": {"pairs": 3}})
    lose_shards(0)(tmp_path / "rewards")
    assert call(tmp_path / "rewards") == measured
