"""A digest is that of what the file holds now, and a file is read once for it."""

import hashlib
import os
from pathlib import Path

import pytest

from sepo_data.storage.file_digest import file_digest


def test_other_content_of_the_same_size_and_time_has_another_digest(tmp_path):
    file = tmp_path / "weights"
    for content in (b"one", b"two"):
        file.write_bytes(content)
        os.utime(file, (1, 1))
        assert file_digest(file) == hashlib.sha256(content).hexdigest()


def test_an_unchanged_file_is_read_once(tmp_path, monkeypatch):
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    first = file_digest(file)
    monkeypatch.setattr(Path, "open", None)
    assert file_digest(file) == first
    monkeypatch.undo()
    file.unlink()
    with pytest.raises(FileNotFoundError):
        file_digest(file)
