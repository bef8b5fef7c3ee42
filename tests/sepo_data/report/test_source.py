"""Stage directories to look at: labels, shards so far, and the reasons why one cannot be used."""

import shutil

import pytest

from sepo_data.errors import SepoError
from sepo_data.report.source import open_sources
from sepo_data.schemas.folder import DATASETS
from sepo_data.schemas.manifest import InputRecord, Manifest, TokenizerRecord
from sepo_data.schemas.stages import Stage
from sepo_data.stages.writer import open_stage


@pytest.fixture
def copied(tmp_path):
    """Copy a directory, and change its manifest."""

    def copy(folder, name, **changes):
        target = tmp_path / name
        shutil.copytree(folder, target)
        file = target / "sepo.json"
        manifest = Manifest.from_json(file.read_text(encoding="utf-8")).model_copy(update=changes)
        file.write_text(manifest.to_json(), encoding="utf-8")
        return target

    return copy


@pytest.fixture
def tokenized(tmp_path, rewards_of):
    """Write a rewards directory with a record of its tokenizer."""

    def write(name, digit):
        record = TokenizerRecord(name=f"model{digit}", tokenizer=str(digit) * 64, chat_template=None, vocabulary=15)
        toy = InputRecord(name="toy", fingerprint="f", rows=1)
        stage = open_stage(tmp_path / name, Manifest(stage=Stage.REWARDS, input=toy, tokenizer=record), shards=1)
        stage.write_shard(0, rewards_of([([1.0], [0.5])]))
        stage.finish(seconds=0.0)
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (["rewards/"], ["rewards"]),
        (["runs/a/rewards", "runs/b/rewards"], ["a/rewards", "b/rewards"]),
        (["a/rewards", "selection"], ["rewards", "selection"]),
        (["rewards", "./rewards/", "selection"], ["rewards (1)", "rewards (2)", "selection"]),
        (["x/rewards", "rewards"], ["x/rewards", "rewards"]),
        (["rewards", "rewards", "rewards (1)"], ["rewards (2)", "rewards (3)", "rewards (1)"]),
        (["runs/a/rewards", "runs/a/rewards", "selection"], ["rewards (1)", "rewards (2)", "selection"]),
        (["runs/a/x", "runs/b/x", "runs/a/x"], ["a/x (1)", "b/x", "a/x (2)"]),
        (["."], ["."]),
    ],
)
def test_labels_tell_directories_apart(monkeypatch, tmp_path, scored, paths, labels):
    monkeypatch.chdir(tmp_path)
    for path in paths:
        if not (folder := tmp_path / path).exists():
            shutil.copytree(scored, folder)
    if paths == ["."]:
        shutil.copytree(scored, tmp_path, dirs_exist_ok=True)
    found = [source.name for source in open_sources(paths)]
    assert len(set(found)) == len(found)
    assert found == labels


def test_no_directory_at_all():
    with pytest.raises(SepoError, match="no directory is given"):
        open_sources([])


def test_a_complete_directory(scored, selected):
    rewards, selection = open_sources([scored, selected])
    assert (rewards.complete, rewards.is_selection, len(rewards.shards)) == (True, False, 2)
    assert (selection.complete, selection.is_selection) == (True, True)
    frames = list(rewards.frames(["source_row", "margin"]))
    assert [frame["source_row"].to_list() for frame in frames] == [[0, 1], [2]]
    assert all(frame.columns == ["source_row", "margin"] for frame in frames)


def test_an_unfinished_directory_has_the_shards_so_far(scored, copied):
    folder = copied(scored, "unfinished", complete=False, shards=[])
    for name in ("state.json", "dataset_info.json"):
        (folder / name).unlink()
    with pytest.raises(SepoError, match="has no finished shard yet") as raised:
        open_sources([folder])
    assert raised.value.hint == "run the same `sepo score` again to resume it"


def test_a_directory_that_is_being_written(tmp_path, rewards_of):
    plan = Manifest(stage=Stage.REWARDS, input=InputRecord(name="toy", fingerprint="f", rows=4))
    stage = open_stage(tmp_path / "rewards", plan, shards=3)
    with pytest.raises(SepoError, match="has no finished shard yet"):
        open_sources([tmp_path / "rewards"])
    stage.write_shard(0, rewards_of([([1.0], [0.5])]))
    stage.write_shard(2, rewards_of([([2.0, 3.0], [0.25])], first=3))
    [source] = open_sources([tmp_path / "rewards"])
    assert not source.complete
    assert (source.manifest.rows, source.manifest.total("tokens")["chosen"]) == (2, 3)
    assert [row for frame in source.frames(["source_row"]) for row in frame["source_row"]] == [0, 3]


def test_a_directory_that_lost_the_files_of_datasets_is_unfinished(scored, copied):
    folder = copied(scored, "rewards")
    (folder / "state.json").unlink()
    [source] = open_sources([folder])
    assert not source.complete
    assert not source.manifest.complete
    assert source.manifest.rows == 3


def test_a_model_directory_has_no_shards(trained, tmp_path):
    folder = trained(tmp_path / "policy", complete=False)
    [source] = open_sources([folder], stages={Stage.POLICY})
    assert (source.complete, list(source.shards), source.manifest.stage) == (False, [], Stage.POLICY)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([Stage.SELECTION], "holds rewards, not selection"),
        ([Stage.POLICY, Stage.ORACLE], "holds rewards, not oracle or policy"),
    ],
)
def test_another_stage(scored, stages, message):
    with pytest.raises(SepoError, match=message):
        open_sources([scored], stages=stages)
    with pytest.raises(SepoError, match=message):
        open_sources([scored], stages=frozenset(stages))


def test_other_tokenizers_cannot_be_compared(scored, tokenized):
    one, two = tokenized("one", 1), tokenized("two", 2)
    with pytest.raises(SepoError, match="different tokenizers") as raised:
        open_sources([one, two])
    assert f"{one} of model1, {two} of model2" in str(raised.value)
    assert raised.value.hint == "give directories of one tokenizer, or look at each alone"
    assert [source.name for source in open_sources([one, scored])] == ["one", "rewards"], "a record may be absent"
    assert len(open_sources([one, tokenized("three", 1)])) == 2


def test_damage_is_found_unless_it_is_not_looked_for(scored, copied):
    folder = copied(scored, "damaged")
    shard = min(folder.glob("*.arrow"))
    data = bytearray(shard.read_bytes())
    data[-40] ^= 1
    shard.write_bytes(data)
    with pytest.raises(SepoError, match=shard.name):
        open_sources([folder])
    assert len(open_sources([folder], verify=False)) == 1
    shard.unlink()
    with pytest.raises(SepoError, match=shard.name):
        open_sources([folder], verify=False)


def test_no_stage_directory(tmp_path, scored):
    for name, message in (("nowhere", "does not exist"), ("empty", "has no sepo.json"), ("file", "is a file")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        (tmp_path / "file").touch()
        with pytest.raises(SepoError, match=message):
            open_sources([scored, tmp_path / name])
    assert {Stage.REWARDS, Stage.SELECTION} == DATASETS
