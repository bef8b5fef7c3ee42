"""A hash is that of the present content, and a large file is read once for it."""

import hashlib
import os

import pytest

from sepo_data.storage import cache
from sepo_data.storage.cache import file_sha256


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
