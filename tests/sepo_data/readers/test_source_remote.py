"""Datasets in a store and on the web: each file is downloaded once, and only if it is read."""

import gzip
import os
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sepo_data.errors import SepoError
from sepo_data.readers.source import open_source
from sepo_data.storage.atomic import write_text
from sepo_data.storage.location import location

pytest.importorskip("upath", reason="universal_pathlib is not installed")

LINES = b'{"prompt": "q", "chosen": "a", "rejected": "b"}\n' * 3


def test_a_file_is_fetched_once(store, tmp_path, monkeypatch):
    file = location(store) / "pairs.jsonl"
    write_text(file, LINES.decode())
    (tmp_path / "pairs.jsonl").write_bytes(LINES)
    source = open_source(f"{store}/pairs.jsonl")
    assert source.name == f"{store}/pairs.jsonl"
    assert source.fingerprint == open_source(str(tmp_path / "pairs.jsonl")).fingerprint
    assert [row.detail for row in source] == [f"pairs.jsonl line {n}" for n in (1, 2, 3)]
    with monkeypatch.context() as patch:
        patch.setattr(type(file.fs), "get_file", None)
        assert open_source(f"{store}/pairs.jsonl").rows == 3
    time.sleep(1.1)  # moto tells times in seconds
    write_text(file, LINES.decode() * 2)
    assert open_source(f"{store}/pairs.jsonl").rows == 6


def test_a_folder_of_files_of_one_split(store):
    for name in ("train.jsonl", "test.jsonl"):
        write_text(location(store) / name, LINES.decode())
    source = open_source(store)
    assert (source.rows, source.split) == (3, "train")
    write_text(location(store) / "inner/train.jsonl", LINES.decode())
    with pytest.raises(SepoError, match=r"holds data files and folders of others: test\.jsonl, train\.jsonl, inner/"):
        open_source(store)


def test_a_pattern_fetches_what_fits(store, tmp_path):
    for name in ("a.jsonl", "b.jsonl", "b.csv", "notes.txt", "deep/er/c.jsonl"):
        write_text(location(store) / name, LINES.decode())
    source = open_source(f"{store}/*.jsonl")
    assert (source.name, source.rows) == (f"{store}/*.jsonl", 6)
    assert [row.detail for row in source.slice(2, 4)] == ["a.jsonl line 3", "b.jsonl line 1"]
    copies = {file.name for file in (tmp_path / "cache").rglob("*") if file.is_file()}
    assert copies == {"a.jsonl", "b.jsonl"}
    assert open_source(f"{store}/**/c.jsonl").rows == 3
    with pytest.raises(SepoError, match=r"no data file matches .*/\*\.tsv"):
        open_source(f"{store}/*.tsv")


def test_only_the_split_asked_for_is_fetched(store, tmp_path):
    for name in ("README.md", "weights.bin", "data/train-0.jsonl", "data/train-1.jsonl", "data/test-0.jsonl"):
        write_text(location(store) / name, LINES.decode())
    source = open_source(store, split="test")
    assert (source.rows, source.split) == (3, "test")
    assert [file.name for file in (tmp_path / "cache").rglob("*") if file.is_file()] == ["test-0.jsonl"]


def test_a_saved_dataset_in_a_store(store, tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [{"prompt": "q", "chosen": "a", "rejected": "b"}]
    datasets.DatasetDict(train=datasets.Dataset.from_list(rows)).save_to_disk(tmp_path / "saved")
    for file in (tmp_path / "saved").rglob("*"):
        if file.is_file():
            (location(store) / file.relative_to(tmp_path / "saved").as_posix()).write_bytes(file.read_bytes())
    source = open_source(store)
    assert ([row.value for row in source], source.split) == (rows, "train")


def test_nothing_there(store):
    with pytest.raises(SepoError, match=r"pairs\.jsonl does not exist"):
        open_source(f"{store}/pairs.jsonl")


# The web.


@pytest.fixture
def web(tmp_path, monkeypatch):
    """The address of a server on this machine, and the folder it serves."""
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    monkeypatch.setenv("SEPO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "web").mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=tmp_path / "web")) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", tmp_path / "web"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_a_file_on_the_web(web, tmp_path):
    url, folder = web
    (folder / "pairs.jsonl.gz").write_bytes(gzip.compress(LINES))
    source = open_source(f"{url}/pairs.jsonl.gz?signature=secret")
    assert source.name == f"{url}/pairs.jsonl.gz"
    assert [row.detail for row in source] == [f"pairs.jsonl.gz line {n}" for n in (1, 2, 3)]
    assert source.fingerprint == open_source(str(folder / "pairs.jsonl.gz")).fingerprint
    assert not [file for file in (tmp_path / "cache").rglob("*") if "secret" in str(file)]
    (folder / "pairs.jsonl.gz").write_bytes(gzip.compress(LINES.replace(b"q", b"Q")))
    os.utime(folder / "pairs.jsonl.gz", (1, 1))  # HTTP tells times in seconds
    assert next(iter(open_source(f"{url}/pairs.jsonl.gz"))).value["prompt"] == "Q", "another version is fetched"


@pytest.mark.parametrize("name", ["nothing.jsonl", "pairs.txt"])
def test_errors_about_the_web_hold_no_secret(web, name):
    with pytest.raises(SepoError) as caught:
        open_source(f"{web[0]}/{name}?signature=secret")
    assert name in str(caught.value)
    assert "secret" not in f"{caught.value}{caught.value.hint}"
