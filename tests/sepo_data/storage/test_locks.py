"""A local lock has one holder, and ends with its process."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from sepo_data.storage.locks import is_locked, try_lock


def test_a_lock_ends_with_its_holder_though_a_child_of_it_lives(tmp_path):
    """As a worker of a data loader that is forked while its parent holds a shard."""
    code = f"""
import os, time
from pathlib import Path
from sepo_data.storage.locks import try_lock
lock = try_lock(Path({str(tmp_path / "x.lock")!r}))
child = os.fork()
if not child:
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        child = int(holder.stdout.readline())
        try:
            assert is_locked(tmp_path / "x.lock")
            holder.kill()
            holder.wait(10)
            assert not is_locked(tmp_path / "x.lock")
        finally:
            os.kill(child, signal.SIGKILL)


def test_two_checks_of_a_lock_do_not_see_each_other(tmp_path):
    name = tmp_path / "x.lock"
    assert not is_locked(name)
    assert not name.exists(), "a check leaves no file"
    name.touch()
    with name.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not is_locked(name)
        fcntl.flock(other, fcntl.LOCK_EX)
        assert is_locked(name)
    assert not is_locked(name)


@pytest.mark.filterwarnings("ignore:flock not supported:UserWarning")
def test_a_check_works_without_kernel_locks(tmp_path, monkeypatch):
    def missing(_file, _operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", missing)
    name = tmp_path / "x.lock"
    held = try_lock(name)
    assert is_locked(name)
    held.release()
    assert not is_locked(name)


def test_a_lock_needs_its_folder(tmp_path):
    assert try_lock(tmp_path / "gone" / "x.lock") is None
    assert not is_locked(tmp_path / "gone" / "x.lock")
    assert list(tmp_path.iterdir()) == []
