"""A file of a store is downloaded into its own folder of the cache alone."""

import pytest

from sepo_data.errors import SepoError
from sepo_data.storage.download import fetched
from sepo_data.storage.location import filesystem, location

pytest.importorskip("upath", reason="universal_pathlib is not installed")

LINE = b'{"prompt": "q", "chosen": "a", "rejected": "b"}\n'


def test_a_name_that_leads_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("SEPO_CACHE", str(tmp_path / "cache"))
    store, _ = filesystem(location("memory://evil/folder"))
    store.pipe("/evil/folder/a.jsonl", LINE)
    listed = store.find("/evil/folder", detail=True)
    listed = {"x": next(iter(listed.values())) | {"name": "/evil/folder/../../../../out.jsonl"}}
    monkeypatch.setattr(type(store), "find", lambda *_, **__: listed)
    with pytest.raises(SepoError, match="would be written elsewhere"):
        fetched(location("memory://evil/folder"), recursive=True)
    assert not list(tmp_path.rglob("out.jsonl"))
