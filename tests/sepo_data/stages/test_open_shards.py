"""A dataset to look at: complete, with the shards that are finished so far, or with none."""

import pytest

from sepo_data.errors import SepoError
from sepo_data.schemas.manifest import InputRecord, Manifest
from sepo_data.schemas.stages import Stage
from sepo_data.stages.open_shards import open_shards
from sepo_data.stages.writer import open_stage


@pytest.fixture
def stage(tmp_path):
    plan = Manifest(stage=Stage.REWARDS, input=InputRecord(name="toy", fingerprint="f", rows=2))
    return open_stage(tmp_path / "rewards", plan, shards=2)


def test_the_finished_shards_of_an_unfinished_dataset(stage, tmp_path, rewards_of):
    with pytest.raises(SepoError, match="has no finished shard yet") as caught:
        open_shards(tmp_path / "rewards")
    assert caught.value.hint == "run the same `sepo score` again to resume it"
    stage.write_shard(1, rewards_of([([2.0], [1.0])], first=1))
    manifest, [shard], complete = open_shards(tmp_path / "rewards")
    assert (manifest.complete, complete, shard.frame(["margin"])["margin"].to_list()) == (False, False, [1.0])
    stage.write_shard(0, rewards_of([([5.0], [1.0])]))
    stage.finish(seconds=0.0)
    manifest, shards, complete = open_shards(tmp_path / "rewards")
    assert (manifest.complete, complete) == (True, True)
    assert [shard.frame(["margin"])["margin"].item() for shard in shards] == [4.0, 1.0]


@pytest.mark.parametrize("lost", ["state.json", "dataset_info.json"])
def test_a_dataset_whose_last_files_are_missing_is_unfinished(tmp_path, rewards_of, write_rewards, lost):
    write_rewards(tmp_path / "rewards", [rewards_of([([2.0], [1.0])])])
    (tmp_path / "rewards" / lost).unlink()
    manifest, shards, complete = open_shards(tmp_path / "rewards")
    assert (manifest.complete, complete, len(shards)) == (False, False, 1)


def test_damage_and_other_stages_are_refused(tmp_path, rewards_of, write_rewards):
    write_rewards(tmp_path / "rewards", [rewards_of([([2.0], [1.0])])])
    [file] = (tmp_path / "rewards").glob("*.arrow")
    whole = file.read_bytes()
    file.write_bytes(whole[:-9] + b"x" + whole[-8:])
    with pytest.raises(SepoError, match="is damaged"):
        open_shards(tmp_path / "rewards")
    (tmp_path / "oracle").mkdir()
    oracle = Manifest(stage=Stage.ORACLE, input=InputRecord(name="toy", fingerprint="f", rows=1))
    (tmp_path / "oracle" / "sepo.json").write_text(oracle.to_json())
    with pytest.raises(SepoError, match="holds oracle, not rewards or selection"):
        open_shards(tmp_path / "oracle")
    with pytest.raises(SepoError, match="does not exist"):
        open_shards(tmp_path / "nothing")
