"""Writing a stage directory: its files, its counts, resuming."""

import datasets
import pyarrow as pa
import pytest

from sepo_data.errors import SepoError
from sepo_data.schemas.manifest import InputRecord, Manifest
from sepo_data.schemas.stages import Stage
from sepo_data.shapes.pairs import SkippedRow
from sepo_data.stages.directory import read_stage
from sepo_data.stages.records import finished_shards
from sepo_data.stages.scan import scan
from sepo_data.stages.writer import open_stage

PLAN = Manifest(stage=Stage.REWARDS, input=InputRecord(name="toy", fingerprint="f", rows=6), options={"beta": 0.1})
OTHER = PLAN.model_copy(update={"options": {"beta": 0.2}})


def write(path, tables, plan=PLAN):
    stage = open_stage(path, plan, shards=len(tables))
    for index in stage.pending():
        stage.write_shard(index, tables[index], skipped=[SkippedRow(index, "null", "ü")], notes={"truncated": index})
    return stage.finish(seconds=1.0)


def content(path):
    """All that must be equal between two runs; the manifest holds times."""
    return {file.name: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "sepo.json"}


def test_the_directory(tmp_path, tables):
    manifest = write(tmp_path / "out", tables)
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        *(f"data-0000{index}-of-00003.arrow" for index in range(3)),
        "sepo.json", "skipped.jsonl", "state.json", "dataset_info.json",
    }  # fmt: skip
    assert read_stage(tmp_path / "out", Stage.REWARDS) == manifest
    assert manifest.complete
    assert manifest.rows == 6
    # Three shards of two pairs: 3 prompt tokens a pair; chosen 2 + 1, rejected 1 + 2 a shard.
    assert manifest.total("tokens") == {"chosen": 9, "prompt": 18, "rejected": 9}
    assert manifest.total("skipped") == {"null": 3}
    assert manifest.total("notes") == {"truncated": 3}
    lines = (tmp_path / "out" / "skipped.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines[1] == '{"row": 1, "reason": "null", "detail": "ü"}'
    for shard in manifest.shards:
        assert (tmp_path / "out" / shard.file).stat().st_size == shard.bytes


def test_a_shard_without_rows_and_a_dataset_without(tmp_path, tables):
    path = tmp_path / "some"
    manifest = write(path, [tables[0], tables[0].slice(0, 0), tables[2]])
    assert [shard.rows for shard in manifest.shards] == [2, 0, 2]
    assert datasets.load_from_disk(path).num_rows == scan(path).collect().height == 4
    path = tmp_path / "none"
    manifest = write(path, [tables[0].slice(0, 0)])
    assert (manifest.rows, manifest.total("skipped")) == (0, {"null": 1})
    assert datasets.load_from_disk(path).num_rows == scan(path).collect().height == 0


def test_an_invalid_table_is_not_written(tmp_path, tables):
    stage = open_stage(tmp_path / "out", PLAN, shards=1)
    with pytest.raises(SepoError, match=r"shard 0 of .* is not a valid rewards dataset:\n  column margin is missing"):
        stage.write_shard(0, tables[0].drop_columns(["margin"]))
    assert stage.pending() == [0]
    assert [file.name for file in (tmp_path / "out").glob("data*")] == []


def test_the_same_plan_resumes_and_then_has_nothing_to_do(tmp_path, tables):
    path = tmp_path / "out"
    stage = open_stage(path, PLAN, shards=3)
    stage.write_shard(1, tables[1])
    assert stage.pending() == [0, 2]
    assert [record.file for record in finished_shards(path)] == ["data-00001-of-00003.arrow"]
    again = open_stage(path, PLAN, shards=3)
    assert again.pending() == [0, 2]
    assert again.manifest.created == stage.manifest.created
    write(path, tables)
    before = content(path)
    assert open_stage(path, PLAN, shards=3).manifest.complete
    assert content(path) == before


def test_a_record_goes_before_its_lost_file_is_written_again(tmp_path, tables, monkeypatch):
    stage = open_stage(tmp_path / "out", PLAN, shards=3)
    record = stage.write_shard(1, tables[1])
    (stage.path / record.file).unlink()
    assert stage.pending() == [0, 1, 2]
    monkeypatch.setattr(pa.ipc, "new_stream", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stage.write_shard(1, tables[1])
    assert finished_shards(stage.path) == []


def test_a_folder_of_files(tmp_path, tables):
    stage = open_stage(tmp_path / "out", PLAN, shards=3)
    for text in ("a", "b"):
        stage.write_folder("tokenizer", lambda folder, text=text: (folder / "tokenizer.json").write_text(text))
        assert (tmp_path / "out" / "tokenizer" / "tokenizer.json").read_text() == text
