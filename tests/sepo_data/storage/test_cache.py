"""A hash is that of the present content, and a large file is read once for it."""

import hashlib
import os

import pytest

from sepo_data.storage import cache
from sepo_data.storage.cache import file_sha256, file_sha256s


@pytest.fixture(autouse=True)
def every_file_is_cached(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "MIN_CACHED_BYTES", 0)
    monkeypatch.setattr(cache, "SETTLED_SECONDS", 0.0)
    monkeypatch.setenv("SEPO_CACHE", str(tmp_path / "cache"))


def test_other_content_of_the_same_size_and_time_has_another_hash(tmp_path):
    file = tmp_path / "weights"
    for content in (b"one", b"two"):
        file.write_bytes(content)
        os.utime(file, (1, 1))
        assert file_sha256(file) == hashlib.sha256(content).hexdigest()


def test_an_unchanged_file_is_read_once(tmp_path, monkeypatch):
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    first = file_sha256(file)
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert file_sha256(file) == first
    monkeypatch.undo()
    file.unlink()
    with pytest.raises(FileNotFoundError):
        file_sha256(file)


def test_a_small_file_and_one_just_changed_are_read_again(tmp_path, monkeypatch):
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    for setting, value in (("MIN_CACHED_BYTES", 4), ("SETTLED_SECONDS", 60.0)):
        with monkeypatch.context() as patch:
            patch.setattr(cache, setting, value)
            assert file_sha256(file) == hashlib.sha256(b"one").hexdigest()
    assert not (tmp_path / "cache").exists()


def test_many_small_files_are_remembered_together(tmp_path, monkeypatch):
    files = [tmp_path / name for name in ("one", "two", "three")]
    for file in files:
        file.write_bytes(file.name.encode())
    hashes = [hashlib.sha256(file.name.encode()).hexdigest() for file in files]
    monkeypatch.setattr(cache, "MIN_CACHED_BYTES", 8)
    assert file_sha256s(files) == hashes
    for forgotten in (False, True):
        if forgotten:
            monkeypatch.setattr(cache, "_digests", {})  # as in another process
        with monkeypatch.context() as patch:
            patch.setattr(hashlib, "file_digest", None)
            assert file_sha256s(files) == hashes
            assert [file_sha256(file) for file in files] == hashes, "each of them, too"
    files[1].write_bytes(b"2")
    assert file_sha256s(files) == [hashes[0], hashlib.sha256(b"2").hexdigest(), hashes[2]]
    assert file_sha256s([]) == file_sha256s([], again=True) == []


def test_a_damaged_disk_shows_when_a_file_is_read_again(tmp_path, monkeypatch):
    """What changes without a new time stamp is found only by reading; it is remembered in place of the former hash."""
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    whole = file_sha256(file)
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda _file, _name: hashlib.sha256(b"rotten"))
    assert file_sha256(file) == file_sha256s([file])[0] == whole
    assert file_sha256s([file], again=True) == [hashlib.sha256(b"rotten").hexdigest()]
    monkeypatch.setattr(hashlib, "file_digest", digest)
    assert file_sha256(file) != whole
