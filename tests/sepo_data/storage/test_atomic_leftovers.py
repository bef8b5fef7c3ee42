"""Atomic writes of one file, and the temporary files that killed processes leave."""

import errno
import fcntl
import os

import pytest

from sepo_data.storage.atomic import (
    OWNER,
    SUFFIX,
    UNOWNED_SECONDS,
    atomic_write,
    keep_folder,
    remove_leftovers,
    scratch_folder,
    temporary_folder,
    write_text,
)


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


def test_only_leftovers_beside_a_file_are_removed_where_the_folder_is_not_ours(tmp_path):
    (tmp_path / "in").mkdir()
    dead = f"x.csv.0123abcd{SUFFIX}"
    for name in (dead, f"in/{dead}", f"mine{SUFFIX}", "x.csv"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, deep=False)
    assert {file.name for file in tmp_path.iterdir()} == {"in", f"mine{SUFFIX}", "x.csv"}
    assert (tmp_path / "in" / dead).exists()


def test_a_folder_appears_complete_or_not_at_all(tmp_path):
    with pytest.raises(ZeroDivisionError), temporary_folder(tmp_path / "model") as folder:  # noqa: PT012
        (folder / "half").touch()
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with temporary_folder(tmp_path / "model") as folder:
        (folder / "whole").touch()
        remove_leftovers(tmp_path)
        keep_folder(folder, tmp_path / "model")
    assert [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")] == ["model", "model/whole"]
    with temporary_folder(tmp_path / "model") as folder:
        (folder / "slower").touch()
        keep_folder(folder, tmp_path / "model")
    assert [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")] == ["model", "model/whole"]


@pytest.mark.parametrize(("owned", "age", "removed"), [(True, 0, True), (False, 0, False), (False, 2, True)])
def test_folders_of_dead_processes_are_removed(tmp_path, owned, age, removed):
    folder = tmp_path / f"model.0123abcd{SUFFIX}"
    (folder / "deep").mkdir(parents=True)
    if owned:
        (folder / OWNER).touch()
    before = folder.stat().st_mtime - age * UNOWNED_SECONDS
    os.utime(folder, (before, before))
    remove_leftovers(tmp_path, deep=False)
    assert folder.exists() is not removed


def test_scratch_folders_of_dead_processes_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead, others = tmp_path / f"sepo.0123abcd{SUFFIX}", tmp_path / f"other.0123abcd{SUFFIX}"
    for folder in (dead, others):
        folder.mkdir()
        (folder / OWNER).touch()
    with scratch_folder() as first, scratch_folder() as second:
        assert set(tmp_path.iterdir()) == {first, second, others}
    assert list(tmp_path.iterdir()) == [others]
