"""Real processes, killed with SIGKILL while they write: the same command then gives the same bytes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sepo_data.errors import SepoError
from sepo_data.stages.directory import is_complete
from sepo_data.stages.scan import scan
from sepo_data.stages.writer import open_stage
from sepo_data.storage.atomic import SUFFIX
from tests.sepo_data.stages.test_writer import PLAN, content, write

HERE = str(Path(__file__).parent)

KILLED = """
import os, signal, sys
import pyarrow as pa
from pathlib import Path
from sepo_data.storage import atomic
from test_writer import PLAN, write

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


@pytest.mark.slow
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
        whole = is_complete(path)
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
from test_writer import PLAN

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


@pytest.mark.slow
def test_killed_in_the_middle_of_a_shard(tmp_path, tables):
    write(tmp_path / "clean", tables)
    code = f"import sys; sys.path.insert(0, {HERE!r})" + KILLED_IN_A_SHARD
    run = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert run.returncode == -9, run.stderr
    path = tmp_path / "out"
    [leftover] = path.rglob(f"*{SUFFIX}")
    assert leftover.name.startswith("data-00001-of-00003.arrow.")
    assert open_stage(path, PLAN, shards=3).pending() == [1, 2]
    assert list(path.rglob(f"*{SUFFIX}")) == []
    write(path, tables)
    assert content(path) == content(tmp_path / "clean")
