"""Several processes and one directory: real ones, started, stopped and killed."""

import json
import signal
import subprocess
import sys
import time

import pytest

from sepo_data.errors import RefusedError
from sepo_data.stages.directory import is_complete
from sepo_data.stages.runs import find_run
from sepo_data.stages.writer import open_stage
from tests.sepo_data.stages.test_writer import OTHER, PLAN, content

WORKER = """
import json, os, sys, time
from pathlib import Path
import pyarrow as pa
from sepo_data.schemas.manifest import Manifest
from sepo_data.shapes.pairs import SkippedRow
from sepo_data.stages.writer import open_stage

out, table, shards, first, behaviour = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:5]), sys.argv[5]
table = pa.ipc.open_stream(table).read_all()
PLAN = Manifest.from_json((out.parent / "plan").read_text())
while not (out.parent / "go").exists():
    time.sleep(0.001)
stage = open_stage(out, PLAN, shards=shards)
order = [*range(first, shards), *range(first)]
done = []
for index in stage.lock_shards(order):
    if behaviour == "hang":
        print(index, flush=True)
        time.sleep(60)
    stage.write_shard(index, table, skipped=[SkippedRow(index, "null", "")], seconds=0.5)
    done.append(index)
    with (out.parent / "log").open("a") as log:
        log.write(f"{index}\\n")
manifest = stage.finish_if_complete(seconds=1.0, results={"by": os.getpid()})
print(json.dumps([done, manifest and manifest.results["by"]]))
"""


@pytest.fixture
def start(tmp_path, rewards_of):
    """Start a process that works on tmp_path/out once tmp_path/go is there."""
    import pyarrow as pa

    table = rewards_of([([3.0, 1.0], [0.5])] * 3)
    with pa.ipc.new_stream(str(tmp_path / "table"), table.schema) as writer:
        writer.write_table(table)
    (tmp_path / "plan").write_text(PLAN.to_json())
    started = []

    def begin(shards=40, first=0, behaviour="work"):
        arguments = [sys.executable, "-c", WORKER, tmp_path / "out", tmp_path / "table", str(shards), str(first)]
        started.append(subprocess.Popen([*arguments, behaviour], stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait(10)
        process.stdout.close()


def answer(process):
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return json.loads(text)


def numbers(path):
    return sorted(int(line) for line in path.read_text().split())


@pytest.mark.slow
def test_four_processes_write_each_of_40_shards_once_and_finish_once(tmp_path, start, rewards_of):
    workers = [start(first=10 * number) for number in range(4)]
    (tmp_path / "go").touch()
    answers = [answer(worker) for worker in workers]
    assert numbers(tmp_path / "log") == sorted(index for done, _ in answers for index in done) == list(range(40))
    finishers = {by for _, by in answers if by is not None}
    assert len(finishers) == 1, "who comes later finds what the one has written"
    assert is_complete(tmp_path / "out")
    assert not (tmp_path / "out" / ".sepo").exists()
    assert not list((tmp_path / "out").rglob("*.sepo-tmp"))
    alone = start(first=7)
    (tmp_path / "out").rename(tmp_path / "together")
    assert answer(alone)[1] == alone.pid
    assert content(tmp_path / "out") == content(tmp_path / "together")


@pytest.mark.slow
def test_many_that_come_last_finish_once(tmp_path, start):
    """One shard, five processes: four find it taken or written; whoever sees the end sees the same one."""
    workers = [start(shards=1) for _ in range(5)]
    (tmp_path / "go").touch()
    answers = [answer(worker) for worker in workers]
    assert [done for done, _ in answers if done] == [[0]]
    assert len({by for _, by in answers if by is not None}) == 1
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "data-00000-of-00001.arrow", "sepo.json", "skipped.jsonl", "state.json", "dataset_info.json",
    }  # fmt: skip


@pytest.mark.slow
def test_what_a_killed_process_held_is_free_at_once(tmp_path, start):
    (tmp_path / "go").touch()
    holder = start(shards=3, first=1, behaviour="hang")
    assert holder.stdout.readline() == "1\n"
    stage = open_stage(tmp_path / "out", PLAN, shards=3)
    assert next(stage.lock_shards([1, 0])) == 0
    other = start(shards=3)
    assert answer(other) == [[0, 2], None], "one shard is another's: neither written nor finished"
    with pytest.raises(RefusedError, match="another process is writing"):
        find_run(tmp_path / "out", PLAN, overwrite=True)
    holder.send_signal(signal.SIGKILL)
    holder.wait(10)
    assert list(stage.lock_shards([0, 1, 2])) == [1]
    assert answer(start(shards=3))[0] == [1]
    assert is_complete(tmp_path / "out")


def test_another_plan_is_refused_while_a_process_has_begun(tmp_path):
    stage = open_stage(tmp_path, PLAN, shards=3)
    for overwrite, reason in ((False, "holds another rewards run"), (True, "another process is writing")):
        with pytest.raises(RefusedError, match=reason):
            open_stage(tmp_path, OTHER, shards=3, overwrite=overwrite)
    stage.release()
    assert open_stage(tmp_path, OTHER, shards=3).manifest.options == OTHER.options


def test_a_look_at_a_lock_does_not_take_a_shard_away(tmp_path):
    stage = open_stage(tmp_path, PLAN, shards=1)
    lock = str(tmp_path / ".sepo" / "00000.lock")
    code = f"""
from pathlib import Path
from sepo_data.storage.locks import is_locked
while True:
    is_locked(Path({lock!r}))
"""
    looker = subprocess.Popen([sys.executable, "-c", code])
    try:
        time.sleep(0.5)
        for _ in range(20):
            assert list(stage.lock_shards([0])) == [0]
    finally:
        looker.kill()
        looker.wait(10)


def test_a_shard_that_was_not_written_is_not_given_again(tmp_path):
    stage = open_stage(tmp_path, PLAN, shards=2)
    assert list(stage.lock_shards([1, 0])) == [1, 0]
    assert stage.finish_if_complete(seconds=0.0) is None


def test_who_stayed_behind_does_not_write_into_another_run(tmp_path, rewards_of):
    table = rewards_of([([3.0, 1.0], [0.5])])
    late = open_stage(tmp_path, PLAN, shards=1)
    stage = open_stage(tmp_path, PLAN, shards=1)
    stage.write_shard(0, table)
    assert stage.finish_if_complete(seconds=0.0).complete
    assert list(late.lock_shards([0])) == []
    new = OTHER.model_copy(update={"created": "later"})
    open_stage(tmp_path, new, shards=1, overwrite=True)
    (tmp_path / "sepo.json").write_text(new.to_json())
    assert list(late.lock_shards([0])) == []
