"""A rewards or selection directory as input: its shards, once they are compared with the manifest."""

import json
import shutil

import datasets
import pytest

from sepo_data.errors import SepoError
from sepo_data.readers.source import open_source
from sepo_data.schemas.manifest import InputRecord, Manifest
from sepo_data.schemas.stages import Stage
from sepo_data.stages.runs import open_run
from sepo_data.stages.writer import open_stage


@pytest.fixture
def rewards(tmp_path, rewards_of, write_rewards):
    tables = [rewards_of([([1.0], [0.5])] * 2, first=first, messages=True) for first in (0, 2)]
    write_rewards(tmp_path / "rewards", tables)
    return tmp_path / "rewards"


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def test_the_rows_are_those_that_datasets_reads(rewards):
    source = open_source(str(rewards))
    assert [row.value for row in source] == datasets.load_from_disk(str(rewards)).to_list()
    assert [row.number for row in source.slice(1, 3)] == [1, 2]
    assert list(source.columns) == datasets.load_from_disk(str(rewards)).column_names


@pytest.mark.parametrize("name", ["", "/data-00001-of-00002.arrow", "/*.arrow"])
def test_a_changed_shard_is_refused_by_every_name(rewards, name):
    assert open_source(f"{rewards}{name}").rows in {2, 4}
    flip(rewards / "data-00001-of-00002.arrow")
    with pytest.raises(SepoError, match=r"is damaged: data-00001-of-00002.arrow is changed") as caught:
        open_source(f"{rewards}{name}")
    assert "`sepo score` makes what is damaged again" in caught.value.hint


def test_the_whole_shard_beside_a_changed_one(rewards):
    flip(rewards / "data-00001-of-00002.arrow")
    assert open_source(f"{rewards}/data-00000-of-00002.arrow").rows == 2


def test_an_incomplete_dataset_is_refused(tmp_path, rewards, rewards_of):
    (rewards / "state.json").unlink()
    plan = Manifest(stage=Stage.SELECTION, input=InputRecord(name="toy", fingerprint="f", rows=2))
    open_stage(tmp_path / "begun", plan, shards=2)
    for folder, command in ((rewards, "score"), (tmp_path / "begun", "select")):
        with pytest.raises(SepoError, match="is incomplete") as caught:
            open_source(str(folder))
        assert caught.value.hint == f"run the same `sepo {command}` again to resume it"


def test_a_dataset_has_no_splits(rewards):
    with pytest.raises(SepoError, match="one dataset without splits"):
        open_source(str(rewards), split="train")


def test_a_manifest_that_cannot_be_read(rewards):
    (rewards / "sepo.json").write_text("{", encoding="utf-8")
    with pytest.raises(SepoError, match=r"has a sepo\.json that cannot be read"):
        open_source(str(rewards))


def test_a_model_directory_is_a_folder_like_any_other(tmp_path):
    plan = Manifest(stage=Stage.ORACLE, input=InputRecord(name="toy", fingerprint="f", rows=1), complete=True)
    open_run(tmp_path / "oracle", plan)
    (tmp_path / "oracle" / "pairs.jsonl").write_text('{"chosen": "a", "rejected": "b"}\n', encoding="utf-8")
    assert open_source(str(tmp_path / "oracle")).rows == 1


@pytest.mark.parametrize("name", ["../other/data-00000-of-00001.arrow", "/data-00000-of-00001.arrow", "a/../../b"])
def test_a_saved_dataset_that_names_a_file_outside(tmp_path, name):
    for folder in ("saved", "other"):
        datasets.Dataset.from_list([{"chosen": "a", "rejected": "b"}]).save_to_disk(tmp_path / folder)
    state = tmp_path / "saved" / "state.json"
    fields = json.loads(state.read_text(encoding="utf-8")) | {"_data_files": [{"filename": name}]}
    state.write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(SepoError, match="which is outside of"):
        open_source(str(tmp_path / "saved"))


def test_a_saved_dataset_whose_offsets_are_damaged(tmp_path):
    """Without a hash to compare, offsets are checked before the library maps them."""
    rows = [{"chosen": "a" * 40, "rejected": "b" * 40}] * 9
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "saved")
    [file] = (tmp_path / "saved").glob("*.arrow")
    content = file.read_bytes()
    offset = (360).to_bytes(4, "little")
    assert content.count(offset)
    file.write_bytes(content.replace(offset, b"\xff\xff\xff\x7f"))
    with pytest.raises(SepoError, match="cannot be read"):
        open_source(str(tmp_path / "saved"))


def test_a_directory_in_a_store(store, rewards):
    from sepo_data.storage.location import location

    for file in rewards.rglob("*"):
        if file.is_file():
            (location(store) / file.relative_to(rewards).as_posix()).write_bytes(file.read_bytes())
    assert open_source(store).rows == 4
    assert open_source(store).fingerprint == open_source(str(rewards)).fingerprint
    flip(rewards / "data-00000-of-00002.arrow")
    damaged = (rewards / "data-00000-of-00002.arrow").read_bytes()
    (location(store) / "data-00000-of-00002.arrow").write_bytes(damaged)
    with pytest.raises(SepoError, match=r"is damaged: data-00000-of-00002.arrow is changed") as caught:
        open_source(store)
    assert "it is a copy of a directory in a store" in caught.value.hint
    shutil.rmtree(rewards)
