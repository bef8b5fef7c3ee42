"""A location is local or in a store, and its public name holds no secret."""

import os
import sys
import threading
from pathlib import Path, PurePosixPath

import pytest

from sepo_data.errors import SepoError
from sepo_data.storage.atomic import write_text
from sepo_data.storage.location import is_remote, is_store_error, location, public_name, read_text

pytest.importorskip("upath", reason="universal_pathlib is not installed")


def test_locations(tmp_path):
    assert location("a/b") == Path("a/b")
    assert location(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    assert not is_remote(location(str(tmp_path)))
    assert is_remote(location("memory://a/b"))
    assert str(location("memory:/a/b")) == str(location("memory://a/b")), "as pathlib leaves it"
    assert location(tmp_path) is tmp_path
    assert location(PurePosixPath("a/b")) == Path("a/b")
    with os.scandir(tmp_path.parent) as entries:
        assert all(isinstance(location(entry), Path) for entry in entries)
    remote = location("memory://a/b")
    assert location(remote) is remote


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://me:secret@host/a.jsonl?X-Amz-Signature=secret#x", "https://host/a.jsonl"),
        ("s3://bucket/a", "s3://bucket/a"),
        ("a/b?c", "a/b?c"),
    ],
)
def test_names_without_secrets(url, public):
    assert public_name(url) == public


def test_the_error_names_the_package_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(SepoError, match="gs:// needs a package") as caught:
        location("gs://bucket/x")
    assert caught.value.hint == "pip install universal_pathlib gcsfs"
    with pytest.raises(SepoError, match="nosuch://x"):
        location("nosuch://x")


@pytest.mark.slow
@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_what_is_replaced_while_it_is_read_is_read_completely(store):
    """Not in memory, where fsspec writes an object in two steps."""
    name, texts = location(store) / "text", {"short", "long " * 10_000}
    write_text(name, "short")
    done = threading.Event()

    def rewrite():
        while not done.is_set():
            for text in texts:
                write_text(name, text)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        assert {read_text(name) for _ in range(50)} <= texts
    finally:
        done.set()
        writer.join(30)


def test_errors_of_stores_are_known_by_where_their_class_is():
    exceptions = pytest.importorskip("botocore.exceptions")
    assert is_store_error(exceptions.EndpointConnectionError(endpoint_url="http://gone"))
    assert not is_store_error(OSError("gone"))
    assert not is_store_error(ValueError("s3fs"))
