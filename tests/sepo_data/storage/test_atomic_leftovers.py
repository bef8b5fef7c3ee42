"""Atomic writes of one file, and the temporary files that killed processes leave."""

import errno
import fcntl
import os

import pytest

from sepo_data.storage.atomic import SUFFIX, atomic_write, remove_leftovers, write_text


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
