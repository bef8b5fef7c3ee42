"""Stage datasets in a store: the same files, shared by processes, resumed after dead ones."""

import subprocess
import sys

import pyarrow as pa
import pytest

from sepo_data.analysis.info import read_info, summary
from sepo_data.errors import RefusedError, SepoError
from sepo_data.readers.source import open_source
from sepo_data.schemas.manifest import InputRecord, Manifest
from sepo_data.schemas.stages import Stage
from sepo_data.shapes.pairs import SkippedRow
from sepo_data.stages.directory import is_complete, read_stage
from sepo_data.stages.records import lock_path
from sepo_data.stages.runs import find_run
from sepo_data.stages.scan import scan
from sepo_data.stages.writer import open_stage
from sepo_data.storage.download import fetched
from sepo_data.storage.location import location
from sepo_data.storage.locks import is_locked, try_lock
from tests.fixtures.stores import leave_a_dead_lease, overlap

pytest.importorskip("upath", reason="universal_pathlib is not installed")

PLAN = Manifest(stage=Stage.REWARDS, input=InputRecord(name="toy", fingerprint="f", rows=6), options={"beta": 0.1})
OTHER = PLAN.model_copy(update={"options": {"beta": 0.2}})
LINES = b'{"prompt": "q", "chosen": "a", "rejected": "b"}\n' * 3


@pytest.fixture
def tables(rewards_of):
    return [rewards_of([([3.0, 1.0], [0.5]), ([1.0], [-1.0, 2.0])], first=first) for first in (0, 10, 20)]


def write(path, tables):
    stage = open_stage(path, PLAN, shards=len(tables))
    stage.write_folder("tokenizer", lambda folder: (folder / "tokenizer.json").write_text("{}"))
    for index in stage.lock_shards([2, 0, 1]):
        stage.write_shard(index, tables[index], skipped=[SkippedRow(index, "null", "ü")], seconds=1.0)
    return stage.finish_if_complete(seconds=1.0)


def content(path):
    local = fetched(path, recursive=True)
    return {file.name: file.read_bytes() for file in local.rglob("*") if file.is_file() and file.name != "sepo.json"}


@pytest.mark.slow
def test_a_stage_in_a_store_has_the_same_bytes(store, tables, tmp_path):
    out = location(store) / "out"
    write(tmp_path / "out", tables)
    stage = open_stage(out, PLAN, shards=3)
    for index in stage.lock_shards([1]):
        stage.write_shard(index, tables[index], skipped=[SkippedRow(index, "null", "ü")], seconds=1.0)
        assert is_locked(out / ".sepo" / "00001.lock")
    assert not is_locked(out / ".sepo" / "00001.lock")
    assert stage.pending() == [0, 2]
    with pytest.raises(SepoError, match=r"incomplete \(1 shards so far\)"):
        scan(store + "/out")
    assert summary(out, read_info(out))["throughput"]["shards"] == 1
    stage.release()
    assert write(out, tables).complete
    assert is_complete(out)
    assert read_stage(out, Stage.REWARDS).rows == 6
    assert content(out) == content(tmp_path / "out")
    assert not [name for name in fetched(out, recursive=True).iterdir() if name.name == ".sepo"]
    assert scan(store + "/out").collect().equals(scan(tmp_path / "out").collect())
    assert open_stage(out, PLAN, shards=3).manifest.complete
    with pytest.raises(RefusedError, match="holds another rewards run"):
        open_stage(out, OTHER, shards=3)
    anew = open_stage(out, OTHER, shards=3, overwrite=True)
    assert anew.pending() == [0, 1, 2]
    with pytest.raises(RefusedError, match="another process is writing"):
        open_stage(out, PLAN, shards=3, overwrite=True)


def test_dead_processes_are_watched_all_at_once_and_once(store, tables, dead_watches):
    folder = location(store) / "out"
    open_stage(folder, PLAN, shards=len(tables)).release()
    for number in range(4):
        leave_a_dead_lease(folder / ".sepo" / f"{number}.worker")
    assert find_run(folder, PLAN, overwrite=True) is None
    assert len(dead_watches) == 4
    assert overlap(dead_watches)
    assert not list((folder / ".sepo").glob("*.worker"))


def test_what_a_dead_process_held_is_not_reported_as_being_written(store, tables):
    out = location(store) / "out"
    stage = open_stage(out, PLAN, shards=3)
    stage.write_shard(1, tables[1], seconds=1.0)
    held = try_lock(lock_path(stage.path, 0))
    leave_a_dead_lease(lock_path(stage.path, 2))
    assert summary(out, read_info(out))["throughput"]["locked_shards"] == 1
    held.release()
    stage.release()


@pytest.mark.slow
def test_the_shards_of_dead_processes_are_watched_all_at_once(store, dead_watches):
    stage = open_stage(location(store) / "out", PLAN, shards=5)
    for index in range(1, 5):
        leave_a_dead_lease(lock_path(stage.path, index))
    assert sorted(stage.lock_shards(range(5))) == list(range(5))
    assert len(dead_watches) == 4
    assert overlap(dead_watches)
    stage.release()


def test_an_absent_stage(store):
    with pytest.raises(SepoError, match="does not exist"):
        scan(f"{store}/rewards")


def test_a_file_url_is_a_local_name(tmp_path, tables):
    (tmp_path / "pairs.jsonl").write_bytes(LINES)
    assert open_source(f"file://{tmp_path}/pairs.jsonl").rows == 3
    write(location(f"file://{tmp_path}/out"), tables)
    assert scan(f"file://{tmp_path}/out").collect().height == 6


WORKER = """
import sys
from pathlib import Path
import pyarrow as pa
from sepo_data.schemas.manifest import Manifest
from sepo_data.storage import leases
from sepo_data.storage.location import location
from sepo_data.stages.writer import open_stage

leases.LEASE_SECONDS = 3.0
plan = Manifest.from_json(Path(sys.argv[2]).read_text())
table = pa.ipc.open_stream(Path(sys.argv[3]).read_bytes()).read_all()
stage = open_stage(location(sys.argv[1]), plan, shards=4)
for index in stage.lock_shards(range(4)):
    if sys.argv[4] == "die":
        import os
        os._exit(9)
    stage.write_shard(index, table, seconds=1.0)
    print(index, flush=True)
stage.finish_if_complete(seconds=1.0)
"""


@pytest.mark.slow
def test_processes_share_a_directory_on_s3(s3, tmp_path, tables, monkeypatch):
    monkeypatch.setenv("SEPO_CACHE", str(tmp_path / "cache"))
    with pa.ipc.new_stream(str(tmp_path / "table"), tables[0].schema) as writer:
        writer.write_table(tables[0])
    (tmp_path / "plan").write_text(PLAN.to_json())

    def start(behaviour):
        arguments = [sys.executable, "-c", WORKER, f"{s3}/shared", tmp_path / "plan", tmp_path / "table"]
        return subprocess.Popen([*arguments, behaviour], stdout=subprocess.PIPE, text=True)

    dead = start("die")
    assert dead.communicate(timeout=60) == ("", None)
    workers = [start("work") for _ in range(2)]
    try:
        answers = [worker.communicate(timeout=120)[0].split() for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sorted(answers[0] + answers[1]) == list("0123"), "the shard of the dead one as well, each once"
    assert scan(f"{s3}/shared").collect().height == 8
    assert {path.name for path in location(f"{s3}/shared").iterdir()} == {
        *(f"data-0000{index}-of-00004.arrow" for index in range(4)),
        "sepo.json", "skipped.jsonl", "state.json", "dataset_info.json",
    }  # fmt: skip
