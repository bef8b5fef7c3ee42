"""A full disk: the error names the shard, nothing half-written is left, and the same command resumes."""

import contextlib
import ctypes
import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sepo_data.errors import SepoError
from sepo_data.shapes.pairs import SkippedRow
from sepo_data.stages.directory import is_complete
from sepo_data.stages.scan import scan
from sepo_data.stages.writer import open_stage
from sepo_data.storage.atomic import SUFFIX
from tests.sepo_data.stages.test_writer import PLAN, content, write

HERE = str(Path(__file__).parent)


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
from test_writer import write

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
    assert caught.value.hint == "free some space and run the same command again; it resumes from shard 2"
    assert not is_complete(path)
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
        assert not is_complete(path)
        with pytest.raises(SepoError, match=r"incomplete \(2 shards so far\)"):
            scan(path)
        assert list(path.rglob(f"*{SUFFIX}")) == []
        assert remount("4m") == 0
        assert open_stage(path, PLAN, shards=4).pending() == [2, 3]
        write(path, tables)
        assert content(path) == content(tmp_path / "clean")
