"""Writing a stage directory: what `datasets` opens, what a kill leaves, what is refused, what a full disk does."""

import contextlib
import ctypes
import datetime as dt
import decimal
import errno
import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow as pa
import pytest

from sepo_data.errors import RefusedError, SepoError
from sepo_data.schemas.manifest import InputRecord, Manifest
from sepo_data.schemas.stages import SIDES, Stage, stage_schema
from sepo_data.selection.select import select
from sepo_data.shapes.pairs import SkippedRow
from sepo_data.stages.directory import (
    claim,
    find_run,
    finished_shards,
    is_finished,
    read_manifest,
    read_stage,
    working_alone,
)
from sepo_data.stages.hf_files import dataset_info
from sepo_data.stages.scan import scan
from sepo_data.stages.writer import open_stage
from sepo_data.storage.atomic import SUFFIX, atomic_write, remove_leftovers, write_text

HERE = str(Path(__file__).parent)
PLAN = Manifest(stage=Stage.REWARDS, input=InputRecord(name="toy", fingerprint="f", rows=6), options={"beta": 0.1})
OTHER = PLAN.model_copy(update={"options": {"beta": 0.2}})


@pytest.fixture
def tables(rewards_of):
    return [
        rewards_of([([3.0, 1.0], [0.5]), ([1.0], [-1.0, 2.0])], first=first, messages=True) for first in (0, 10, 20)
    ]


def write(path, tables, plan=PLAN):
    stage = open_stage(path, plan, shards=len(tables))
    for index in stage.missing():
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
    assert manifest.finished
    assert manifest.rows == 6
    # Three shards of two pairs: 3 prompt tokens a pair; chosen 2 + 1, rejected 1 + 2 a shard.
    assert manifest.total("tokens") == {"chosen": 9, "prompt": 18, "rejected": 9}
    assert manifest.total("skipped") == {"null": 3}
    assert manifest.total("notes") == {"truncated": 3}
    lines = (tmp_path / "out" / "skipped.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines[1] == '{"row": 1, "reason": "null", "detail": "ü"}'
    for shard in manifest.shards:
        assert (tmp_path / "out" / shard.file).stat().st_size == shard.bytes


@pytest.mark.parametrize("messages", [False, True])
@pytest.mark.parametrize("stage", [Stage.REWARDS, Stage.SELECTION])
def test_datasets_opens_it(tmp_path, rewards_of, write_rewards, stage, messages):
    tables = [rewards_of([([3.0, 1.0], [0.5])] * 2, messages=messages), rewards_of([([1.0], [2.0])], messages=messages)]
    write_rewards(tmp_path / "rewards", tables)
    path = tmp_path / stage
    if stage is Stage.SELECTION:
        select(tmp_path / "rewards", path)
    opened = datasets.load_from_disk(path)
    assert opened.num_rows == 3
    assert opened.column_names == stage_schema(stage, conversational=messages).names
    assert opened.features["chosen_ids"] == datasets.LargeList(datasets.Value("int32"))
    assert opened.features["chosen_rewards"] == datasets.LargeList(datasets.Value("float32"))
    turn = {"role": datasets.Value("string"), "content": datasets.Value("string")}
    assert opened.features["chosen"] == (datasets.LargeList(turn) if messages else datasets.Value("string"))
    assert (
        opened.with_format("arrow")[:2].select(["chosen_rewards"]).to_pylist() == [{"chosen_rewards": [3.0, 1.0]}] * 2
    )
    assert opened[2]["chosen"] == ([{"role": "assistant", "content": "yes ä"}] if messages else "yes ä")
    assert opened.filter(lambda row: row["chosen_tokens"] == 1, keep_in_memory=True).num_rows == 1
    if stage is Stage.SELECTION:
        assert opened[0]["chosen_mask"] == [True, False]


TURN = pa.struct([("role", pa.string()), ("days", pa.list_(pa.date32()))])
SIDE = {
    "truth": [True, None],
    "int": [1, None],
    "float": [1.5, None],
    "text": ["a", None],
    "bytes": [b"a", None],
    "day": [dt.date(2025, 1, 2), None],
    "clock": [dt.time(1, 2), None],
    "moment": [dt.datetime(2025, 1, 2, 3), None],  # noqa: DTZ001 - both kinds are tested
    "moment_utc": [dt.datetime(2025, 1, 2, 3, tzinfo=dt.UTC), None],
    "span": [dt.timedelta(seconds=1), None],
    "price": [decimal.Decimal("1.25"), None],
    "nothing": [None, None],
    "list": [[1, 2], None],
    "empty": [[], []],
    "struct": [{"role": "x", "days": [dt.date(2025, 1, 2)], "deep": {"n": 1}}, None],
    "structs": [[{"a": 1}], []],
}


def test_features_are_those_that_datasets_would_derive():
    kinds = [
        pa.float16(),
        pa.int8(),
        pa.uint64(),
        pa.date64(),
        pa.timestamp("ns", "Europe/Berlin"),
        pa.large_list(TURN),
    ]
    fields = [pa.field(name, pa.array(values).type) for name, values in SIDE.items()]
    fields += [pa.field(str(kind), kind) for kind in kinds]
    schemas = [pa.schema(fields)]
    for stage in (Stage.REWARDS, Stage.SELECTION):
        schemas += [stage_schema(stage, conversational=both, extra=fields) for both in (False, True)]
    for schema in schemas:
        ours = dataset_info(schema)["features"]
        assert ours == datasets.Features.from_arrow_schema(schema).to_dict()
        assert datasets.Features.from_dict(ours) == datasets.Features.from_arrow_schema(schema)


def test_datasets_opens_side_columns(tmp_path, rewards_of, write_rewards):
    table = rewards_of([([3.0, 1.0], [0.5])] * 2)
    for name, values in SIDE.items():
        table = table.append_column(name, pa.array(values))
    write_rewards(tmp_path / "rewards", [table])
    select(tmp_path / "rewards", tmp_path / "selection")
    for path in (tmp_path / "rewards", tmp_path / "selection"):
        opened = datasets.load_from_disk(path).select_columns(list(SIDE))
        assert opened.with_format("arrow")[:].to_pydict() == SIDE


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
    assert stage.missing() == [0]
    assert [file.name for file in (tmp_path / "out").glob("data*")] == []


# What is refused.


@pytest.mark.parametrize("missing", ["state.json", "dataset_info.json", "sepo.json"])
def test_readers_refuse_what_is_not_whole(tmp_path, tables, missing):
    path = tmp_path / "out"
    write(path, tables)
    (path / missing).unlink()
    assert not is_finished(path)
    for read in (scan, lambda path: read_stage(path, Stage.REWARDS), lambda path: select(path, tmp_path / "selection")):
        with pytest.raises(SepoError, match="no sepo.json" if missing == "sepo.json" else "is unfinished"):
            read(path)
    assert not (tmp_path / "selection").exists()


def test_readers_refuse_other_stages_and_nothing(tmp_path, tables):
    write(tmp_path / "rewards", tables)
    with pytest.raises(SepoError, match="holds rewards, not selection") as caught:
        read_stage(tmp_path / "rewards", Stage.SELECTION)
    assert caught.value.hint == "`sepo select --help` shows how to make it"
    with pytest.raises(SepoError, match="does not exist"):
        scan(tmp_path / "nothing")
    claim(tmp_path / "policy", PLAN.model_copy(update={"stage": Stage.POLICY, "finished": True}))
    assert is_finished(tmp_path / "policy"), "a model directory has no state.json"
    with pytest.raises(SepoError, match="holds policy, not rewards or selection"):
        scan(tmp_path / "policy")


@pytest.mark.parametrize("text", ["{", "[]", "\xff", '{"stage": "rewards"}'])
def test_a_manifest_that_cannot_be_read(tmp_path, text):
    (tmp_path / "sepo.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(SepoError, match=r"sepo\.json cannot be read"):
        read_manifest(tmp_path)
    with pytest.raises(SepoError, match=r"sepo\.json cannot be read"):
        claim(tmp_path, PLAN, overwrite=True)
    assert (tmp_path / "sepo.json").exists()


def test_a_manifest_of_another_version_says_so(tmp_path, tables):
    write(tmp_path, tables)
    fields = json.loads((tmp_path / "sepo.json").read_text(encoding="utf-8")) | {"schema_version": 2}
    (tmp_path / "sepo.json").write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(SepoError, match="schema_version"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("finished", [False, True])
def test_another_plan_is_refused_with_its_keys(tmp_path, tables, finished):
    path = tmp_path / "out"
    stage = open_stage(path, PLAN, shards=3)
    stage.write_shard(0, tables[0])
    if finished:
        write(path, tables)
    (path / f"data{SUFFIX}").touch()
    before = content(path)
    with pytest.raises(RefusedError) as caught:
        open_stage(path, OTHER, shards=3)
    assert str(caught.value) == (
        f"{path} holds another rewards run; what differs (there -> here):\n  options.beta: 0.1 -> 0.2"
    )
    assert "--overwrite" in caught.value.hint
    assert content(path) == before, "not even a temporary file is touched: another run may be writing it"


def test_a_run_that_failed_before_any_work_does_not_block_another(tmp_path):
    path = tmp_path / "out"
    open_stage(path, PLAN, shards=3)
    (path / "tokenizer").mkdir()
    assert open_stage(path, OTHER, shards=3).manifest.differing_keys(OTHER) == []


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["notes.txt", f"notes.txt{SUFFIX}", f"inner/notes.txt{SUFFIX}", "state.json"])
def test_a_foreign_directory_is_refused_and_untouched(tmp_path, overwrite, name):
    file = tmp_path / "mine" / name
    file.parent.mkdir(parents=True)
    file.write_text("precious")
    with pytest.raises(RefusedError, match="holds something that sepo did not write"):
        claim(tmp_path / "mine", PLAN, overwrite=overwrite)
    assert content(tmp_path / "mine") == {file.name: b"precious"}
    assert not (tmp_path / "mine" / "sepo.json").exists()


def test_a_run_that_is_no_dataset_has_its_directory_to_itself(tmp_path):
    path, plan = tmp_path / "policy", PLAN.model_copy(update={"stage": Stage.POLICY})
    with working_alone(path, plan) as started:
        for overwrite in (False, True):
            for begin in (find_run, claim):
                with pytest.raises(RefusedError, match="another process is writing"):
                    begin(path, plan, overwrite=overwrite)
    assert list(path.iterdir()) == [path / "sepo.json"]
    with working_alone(path, plan) as again:
        assert again == started, "who comes afterwards goes on"
    (path / "sepo.json").write_text(started.model_copy(update={"finished": True}).to_json())
    with pytest.raises(RefusedError, match="another process has finished"), working_alone(path, plan):
        pytest.fail("nothing is left to do")
    assert list(path.iterdir()) == [path / "sepo.json"]


def test_a_run_that_loses_its_directory_tells_why_it_ended(tmp_path):
    path, plan = tmp_path / "policy", PLAN.model_copy(update={"stage": Stage.POLICY})

    def run():
        with working_alone(path, plan):
            shutil.rmtree(path)
            path.touch()
            raise ValueError("the real reason")

    with pytest.raises(ValueError, match="the real reason"):
        run()


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "out").write_text("precious")
    with pytest.raises(RefusedError, match="is a file"):
        claim(tmp_path / "out", PLAN, overwrite=True)
    assert (tmp_path / "out").read_text() == "precious"


def test_overwrite_replaces_all_of_another_run_and_no_more(tmp_path, tables):
    path = tmp_path / "parent" / "out"
    write(path, tables)
    (path.parent / "beside").touch()
    stage = open_stage(path, OTHER, shards=1, overwrite=True)
    assert stage.missing() == [0]
    assert {file.name for file in path.iterdir()} == {"sepo.json", ".sepo"}
    assert read_manifest(path).options == {"beta": 0.2}
    assert (path.parent / "beside").exists()


def test_overwrite_starts_the_same_plan_anew_as_well(tmp_path, tables):
    write(tmp_path / "out", tables)
    assert open_stage(tmp_path / "out", PLAN, shards=3, overwrite=True).missing() == [0, 1, 2]


def test_overwrite_behind_a_symbolic_link(tmp_path, tables):
    write(tmp_path / "real", tables)
    (tmp_path / "link").symlink_to("real")
    write_text(tmp_path / "beside", "precious")
    assert open_stage(tmp_path / "link", OTHER, shards=1, overwrite=True).missing() == [0]
    assert (tmp_path / "link").is_symlink()
    assert {file.name for file in (tmp_path / "real").iterdir()} == {"sepo.json", ".sepo"}


def test_overwrite_never_deletes_what_is_read(tmp_path, tables, monkeypatch):
    write(tmp_path / "rewards", tables)
    (tmp_path / "rewards" / "tokenizer").mkdir()
    before = content(tmp_path / "rewards")
    monkeypatch.chdir(tmp_path)
    for source in (tmp_path / "rewards", (tmp_path / "rewards").relative_to(tmp_path)):
        with pytest.raises(RefusedError, match=r"--overwrite would delete .*rewards, which this run reads"):
            select(source, tmp_path / "rewards", overwrite=True)
    assert content(tmp_path / "rewards") == before


# Resuming.


def test_the_same_plan_goes_on_and_then_has_nothing_to_do(tmp_path, tables):
    path = tmp_path / "out"
    stage = open_stage(path, PLAN, shards=3)
    stage.write_shard(1, tables[1])
    assert stage.missing() == [0, 2]
    assert [record.file for record in finished_shards(path)] == ["data-00001-of-00003.arrow"]
    again = open_stage(path, PLAN, shards=3)
    assert again.missing() == [0, 2]
    assert again.manifest.created == stage.manifest.created
    write(path, tables)
    before = content(path)
    assert open_stage(path, PLAN, shards=3).manifest.finished
    assert content(path) == before


KILLED = """
import os, signal, sys
import pyarrow as pa
from pathlib import Path
from sepo_data.storage import atomic
from test_store import PLAN, write

folder = Path(sys.argv[1])
tables = [pa.ipc.open_stream(file).read_all() for file in sorted((folder / "clean").glob("data-*.arrow"))]
synced = 0

def kill_at(point):
    '''Die at the `point`th time that something is flushed to the disk: before a name is given, or just after.'''
    def fsync(file, fsync=os.fsync):
        global synced
        synced += 1
        if synced == point:
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(file)
    atomic.os.fsync = fsync

point, alive = 0, False
while not alive:
    point += 1
    child = os.fork()
    if not child:
        kill_at(point)
        write(folder / f"killed-{point}", tables)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    alive = status == 0
    assert alive or os.WTERMSIG(status) == signal.SIGKILL, status
print(point)
"""


def test_killed_at_every_flush_and_resumed(tmp_path, tables):
    """A real process is killed with SIGKILL at each of its flushes; the same command then gives the same bytes."""
    write(tmp_path / "clean", tables)
    code = f"import sys; sys.path.insert(0, {HERE!r})" + KILLED
    run = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    # Two flushes (file and folder) for the manifest, a shard, its record, and each of the four files at the end.
    points = 2 * (1 + 3 + 3 + 4)
    assert int(run.stdout) == points + 1
    leftovers = 0
    for point in range(1, points + 1):
        path = tmp_path / f"killed-{point}"
        leftovers += len(list(path.rglob(f"*{SUFFIX}")))
        whole = is_finished(path)
        assert whole == (point == points), "whole only when the last name is given"
        if whole:
            shutil.rmtree(path / ".sepo")  # all that was left to do
        else:
            with pytest.raises(SepoError):
                scan(path)
        write(path, tables) if not whole else None
        assert content(path) == content(tmp_path / "clean")
    assert leftovers == points / 2, "half of the kills came before a rename"


KILLED_IN_A_SHARD = """
import os, signal, sys
import pyarrow as pa
from pathlib import Path
from sepo_data.stages.writer import open_stage
from test_store import PLAN

class DyingTable:
    '''Stands in for pyarrow's writer: the second shard is cut in the middle of its bytes.'''
    def __init__(self, sink, schema):
        self.sink, self.schema = sink, schema
    def __enter__(self):
        return self
    def __exit__(self, *error):
        pass
    def write_table(self, table, max_chunksize):
        buffer = pa.BufferOutputStream()
        with pa.RecordBatchStreamWriter(buffer, self.schema) as writer:
            writer.write_table(table, max_chunksize=max_chunksize)
        whole = buffer.getvalue().to_pybytes()
        self.sink.write(whole[: len(whole) // 2])
        self.sink.flush()
        os.kill(os.getpid(), signal.SIGKILL)

folder = Path(sys.argv[1])
tables = [pa.ipc.open_stream(file).read_all() for file in sorted((folder / "clean").glob("data-*.arrow"))]
stage = open_stage(folder / "out", PLAN, shards=3)
from sepo_data.shapes.pairs import SkippedRow
stage.write_shard(0, tables[0], skipped=[SkippedRow(0, "null", "ü")], notes={"truncated": 0})
pa.ipc.new_stream = DyingTable
stage.write_shard(1, tables[1])
"""


def test_killed_in_the_middle_of_a_shard(tmp_path, tables):
    write(tmp_path / "clean", tables)
    code = f"import sys; sys.path.insert(0, {HERE!r})" + KILLED_IN_A_SHARD
    run = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert run.returncode == -9, run.stderr
    path = tmp_path / "out"
    [leftover] = path.rglob(f"*{SUFFIX}")
    assert leftover.name.startswith("data-00001-of-00003.arrow.")
    assert open_stage(path, PLAN, shards=3).missing() == [1, 2]
    assert list(path.rglob(f"*{SUFFIX}")) == []
    write(path, tables)
    assert content(path) == content(tmp_path / "clean")


# A full disk.


class FullDisk(io.FileIO):
    """A file on a disk with `room` bytes left."""

    room = 0

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


RLIMITED = """
import resource, sys
import pyarrow as pa
from pathlib import Path
from sepo_data.errors import SepoError
from test_store import write

folder = Path(sys.argv[1])
tables = [pa.ipc.open_stream(file).read_all() for file in sorted((folder / "clean").glob("data-*.arrow"))]
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    write(folder / "out", tables)
except SepoError as error:
    print(error)
"""


def test_a_file_larger_than_allowed(tmp_path, tables):
    write(tmp_path / "clean", tables)
    code = f"import sys; sys.path.insert(0, {HERE!r})" + RLIMITED
    run = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == f"File too large: shard 1 of 3 of {tmp_path / 'out'} could not be written\n"
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"sepo.json", ".sepo"}
    write(tmp_path / "out", tables)
    assert content(tmp_path / "out") == content(tmp_path / "clean")


@pytest.mark.parametrize("room", [0, 100, 3000])
def test_full_disk(tmp_path, tables, monkeypatch, room):
    write(tmp_path / "clean", tables)
    path = tmp_path / "out"
    stage = open_stage(path, PLAN, shards=3)
    stage.write_shard(0, tables[0], skipped=[SkippedRow(0, "null", "ü")], notes={"truncated": 0})
    with monkeypatch.context() as patch:
        patch.setattr(FullDisk, "room", room)
        patch.setattr(type(path), "open", lambda file, mode: FullDisk(file, mode))  # noqa: PLW0108 - a class is no method
        with pytest.raises(SepoError) as caught:
            stage.write_shard(1, tables[1])
    assert str(caught.value) == f"No space left on device: shard 2 of 3 of {path} could not be written"
    assert caught.value.hint == "free some space and run the same command again; it goes on with shard 2"
    assert not is_finished(path)
    assert list(path.rglob(f"*{SUFFIX}")) == []
    assert {file.name for file in path.glob("data-*.arrow")} == {"data-00000-of-00003.arrow"}
    write(path, tables)
    assert content(path) == content(tmp_path / "clean")


@contextlib.contextmanager
def small_disk(folder, size):
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode()):
        pytest.skip(f"cannot mount a tmpfs: {os.strerror(ctypes.get_errno())}")
    try:
        yield lambda size: libc.mount(
            b"tmpfs", os.fsencode(folder), b"tmpfs", 32, f"size={size}".encode()
        )  # 32: remount
    finally:
        assert libc.umount2(os.fsencode(folder), 2) == 0  # 2: lazily


def test_really_full_disk(tmp_path, rewards_of):
    """Each shard takes about 130 kB, 8 lists of 4000 values of 4 bytes; 400 kB hold two."""
    tables = [rewards_of([([float(first)] * 4000, [1.0] * 4000)], first=first) for first in range(4)]
    write(tmp_path / "clean", tables)
    with small_disk(tmp_path / "disk", "400k") as remount:
        path = tmp_path / "disk" / "out"
        with pytest.raises(SepoError, match="No space left on device: shard 3 of 4 of"):
            write(path, tables)
        assert not is_finished(path)
        with pytest.raises(SepoError, match=r"unfinished \(2 shards so far\)"):
            scan(path)
        assert list(path.rglob(f"*{SUFFIX}")) == []
        assert remount("4m") == 0
        assert open_stage(path, PLAN, shards=4).missing() == [2, 3]
        write(path, tables)
        assert content(path) == content(tmp_path / "clean")


# One file.


def test_atomic_write(tmp_path):
    file = tmp_path / "x"
    write_text(file, "ä")
    with pytest.raises(ZeroDivisionError), atomic_write(file) as sink:  # noqa: PT012
        sink.write(b"half")
        raise ZeroDivisionError
    assert file.read_bytes() == "ä".encode()
    assert list(tmp_path.iterdir()) == [file]
    with atomic_write(file) as sink:
        sink.write(b"b")
        assert file.read_bytes() == "ä".encode()
    assert file.read_bytes() == b"b"


def test_leftovers_are_removed_and_nothing_else(tmp_path):
    (tmp_path / "in").mkdir()
    for name in (f"a{SUFFIX}", f"in/b{SUFFIX}", "c", "in/d"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert {file.name for file in tmp_path.rglob("*")} == {"c", "in", "d"}


def test_a_run_killed_at_its_first_write_begins_again(tmp_path):
    (tmp_path / f"sepo.json.0a1b2c3d{SUFFIX}").write_text("{")
    assert claim(tmp_path, PLAN).fingerprint == PLAN.fingerprint
    assert {file.name for file in tmp_path.iterdir()} == {"sepo.json", ".sepo"}


def test_leftovers_on_a_network_file_system(tmp_path, monkeypatch):
    """There, only a file that is open for writing can be locked."""
    lock = fcntl.flock

    def strict(file, operation):
        if operation & fcntl.LOCK_EX and fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", strict)
    (tmp_path / f"data{SUFFIX}").touch()
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_kernel_locks_nothing_is_taken_for_a_leftover(tmp_path, monkeypatch):
    def missing(_file, _operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", missing)
    write_text(tmp_path / "text", "whole")
    leftover = tmp_path / f"data{SUFFIX}"
    leftover.touch()
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == [leftover, tmp_path / "text"]


def test_what_a_living_process_writes_is_no_leftover(tmp_path):
    with atomic_write(tmp_path / "x") as sink:
        remove_leftovers(tmp_path)
        sink.write(b"whole")
    assert (tmp_path / "x").read_bytes() == b"whole"
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_a_record_goes_before_its_lost_file_is_written_again(tmp_path, tables, monkeypatch):
    stage = open_stage(tmp_path / "out", PLAN, shards=3)
    record = stage.write_shard(1, tables[1])
    (stage.path / record.file).unlink()
    assert stage.missing() == [0, 1, 2]
    monkeypatch.setattr(pa.ipc, "new_stream", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stage.write_shard(1, tables[1])
    assert finished_shards(stage.path) == []


def test_a_folder_of_files(tmp_path, tables):
    stage = open_stage(tmp_path / "out", PLAN, shards=3)
    for text in ("a", "b"):
        stage.write_folder("tokenizer", lambda folder, text=text: (folder / "tokenizer.json").write_text(text))
        assert (tmp_path / "out" / "tokenizer" / "tokenizer.json").read_text() == text


def test_schema_of_both_sides_is_the_same():
    names = stage_schema(Stage.SELECTION, conversational=False).names
    of = {side: {name.removeprefix(side) for name in names if name.startswith(side)} for side in SIDES}
    assert of["chosen"] == of["rejected"]
