"""Content of a directory, in lines and as an object."""

import json

import pytest

from sepo_data.analysis.faults import read_faults
from sepo_data.analysis.info import lines, read_info, summary
from sepo_data.errors import SepoError
from sepo_data.schemas.manifest import InputRecord, Manifest, ModelRecord, TokenizerRecord
from sepo_data.schemas.stages import Stage
from sepo_data.selection.select import select
from sepo_data.shapes.pairs import SkippedRow
from sepo_data.stages.runs import open_run
from sepo_data.stages.writer import open_stage

PLAN = Manifest(
    stage=Stage.REWARDS,
    input=InputRecord(name="prefs.jsonl", fingerprint="f" * 64, split="train", shape="alpaca", rows=5000),
    models={"ref": ModelRecord(name="small", weights="a" * 64, parameters=1_234_567)},
    tokenizer=TokenizerRecord(name="small", tokenizer="t", chat_template="c" * 64, vocabulary=49_152),
    options={"beta": 0.1, "truncate": None, "shard_rows": 2},
    parent="0123456789abcdef",
    versions={"python": "3.11"},
)


@pytest.fixture
def incomplete(tmp_path, rewards_of):
    stage = open_stage(tmp_path / "out", PLAN, shards=3)
    table = rewards_of([([3.0, 1.0], [0.5])] * 2)
    stage.write_shard(1, table, skipped=[SkippedRow(3, "null", "chosen")], notes={"truncated": 1})
    return stage


def test_unfinished(incomplete):
    manifest = read_info(incomplete.path)
    told = dict(lines(manifest, incomplete.path))
    assert told["stage"] == "rewards (incomplete; the same command resumes where it stopped)"
    assert told["progress"] == "1 of 3 shards, no process is writing"
    assert told["rows"] == "2 in 1 shards"
    assert told["tokens"] == "chosen 4  prompt 6  rejected 2"
    assert told["skipped"] == "null 1"
    assert told["notes"] == "truncated 1"
    assert summary(incomplete.path, manifest) == {
        "path": str(incomplete.path), "stage": "rewards", "complete": False, "fingerprint": PLAN.fingerprint,
        "seconds": None, "rows": 2, "shards": 1, "tokens": {"chosen": 4, "prompt": 6, "rejected": 2},
        "skipped": {"null": 1}, "notes": {"truncated": 1}, "results": {},
        "throughput": {
            "shards": 1, "total_shards": 3, "locked_shards": 0, "tokens_per_second": None, "seconds_left": None,
        },
    }  # fmt: skip


def test_begun_and_no_shard_yet(tmp_path):
    open_stage(tmp_path, PLAN, shards=3)
    told = dict(lines(read_info(tmp_path), tmp_path))
    assert told["progress"] == "0 of 2500 shards, no process is writing"  # 5000 rows, 2 a shard
    assert told["rows"] == "0 in 0 shards"
    assert told["tokens"] == "none"


def test_finished(incomplete, rewards_of):
    for index in incomplete.pending():
        incomplete.write_shard(index, rewards_of([([3.0, 1.0], [0.5])]))
    incomplete.finish(seconds=1234.5, results={"layout": "shared"})
    manifest = read_info(incomplete.path)
    told = dict(lines(manifest))
    assert told["stage"] == "rewards (complete)"
    assert told["fingerprint"] == PLAN.fingerprint
    assert told["rows"] == "4 in 3 shards"
    assert told["from"] == "prefs.jsonl (5,000 rows, split train, alpaca, content ffffffffffffffff)"
    assert told["ref"] == "small (1,234,567 parameters, weights aaaaaaaaaaaaaaaa)"
    assert told["tokenizer"] == "small (49,152 tokens, chat template cccccccccccccccc)"
    assert told["parent"] == "oracle 0123456789abcdef"
    assert told["options"] == "beta=0.1  shard_rows=2"
    assert told["layout"] == "shared"
    assert told["made"].endswith(", 1,234.5 s")
    assert told["versions"] == "python 3.11"
    answer = json.loads(json.dumps(summary(incomplete.path, manifest)))
    assert (answer["complete"], answer["rows"], answer["shards"]) == (True, 4, 3)


def test_whole_but_for_its_last_file(incomplete, rewards_of):
    for index in incomplete.pending():
        incomplete.write_shard(index, rewards_of([([3.0, 1.0], [0.5])]))
    incomplete.finish(seconds=1.0)
    (incomplete.path / "state.json").unlink()
    manifest = read_info(incomplete.path)
    faults = read_faults(incomplete.path, manifest, verify=False)
    assert list(map(str, faults)) == ["state.json is missing", "tokenizer is missing"]
    assert dict(lines(manifest, faults=faults))["stage"] == "rewards (damaged; the faults are listed below)"
    answer = summary(incomplete.path, manifest, faults)
    assert not answer["complete"]
    assert answer["faults"][0] == {"file": "state.json", "reason": "is missing"}


def test_a_selection_and_a_model(tmp_path, rewards_of, write_rewards):
    parent = write_rewards(tmp_path / "rewards", [rewards_of([([3.0, 1.0], [0.5])])], shard_rows=2)
    told = dict(lines(select(tmp_path / "rewards", tmp_path / "selection")))
    assert told["parent"] == f"rewards {parent.fingerprint}"
    assert told["options"] == "rule=top  chosen=30%  rejected=30%"
    open_run(tmp_path / "policy", PLAN.model_copy(update={"stage": Stage.POLICY, "complete": True}))
    manifest = read_info(tmp_path / "policy")
    assert dict(lines(manifest))["stage"] == "policy (complete)"
    assert dict(lines(manifest))["parent"] == "selection 0123456789abcdef"
    assert not {"rows", "tokens"} & dict(lines(manifest)).keys()
    assert "rows" not in summary(tmp_path / "policy", manifest)


def test_no_directory(tmp_path):
    with pytest.raises(SepoError, match="is not a stage directory"):
        read_info(tmp_path)
    with pytest.raises(SepoError, match="does not exist"):
        read_info(tmp_path / "nothing")
