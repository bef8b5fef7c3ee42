"""Input that unpacks to more than it may: refused before it fills the disk, and nothing is left of it."""

import bz2
import gzip
import io
import json
import sqlite3

import pyarrow as pa
import pytest

from sepo_data.errors import SepoError
from sepo_data.readers import copy_limit
from sepo_data.readers.source import open_source

LINE = json.dumps({"prompt": "q", "chosen": "yes", "rejected": "no"}).encode() + b"\n"
BOMB = LINE * 20_000  # a megabyte, which packs to a few kilobytes


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(copy_limit.VARIABLE, raising=False)
    monkeypatch.setattr(copy_limit, "SMALL_BYTES", 1 << 18)
    monkeypatch.setattr(copy_limit, "RATIO", 10)
    return tmp_path / "cache"


def zstd(data):
    return pa.compress(data, codec="zstd", asbytes=True)


def endless_view(folder):
    with sqlite3.connect(folder / "view.db") as database:
        database.execute(
            "CREATE VIEW pairs AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
            " SELECT 'q' AS prompt, 'yes' AS chosen, 'no' AS rejected FROM n"
        )
    return folder / "view.db"


def packed_file(folder, name):
    if name == "view.db":
        return endless_view(folder)
    data = {".gz": gzip.compress, ".zst": zstd}[name[name.rindex(".") :]](BOMB)
    (folder / name).write_bytes(data)
    return folder / name


PACKED = ["a.jsonl.gz", "a.json.gz", "a.csv.gz", "a.jsonl.zst", "view.db"]


@pytest.mark.parametrize("name", PACKED)
def test_a_bomb_is_refused_and_leaves_nothing(tmp_path, cache, name):
    with pytest.raises(SepoError, match=r"takes more than [\d,]+ bytes unpacked, from [\d,]+") as caught:
        open_source(str(packed_file(tmp_path, name)))
    assert copy_limit.VARIABLE in caught.value.hint
    assert [file for file in cache.rglob("*") if file.is_file()] == []


@pytest.mark.parametrize("data", [gzip.compress(BOMB), zstd(BOMB)], ids=["gzip", "zstd"])
def test_a_bomb_on_standard_input(cache, monkeypatch, data):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    with pytest.raises(SepoError, match="stdin takes more than"):
        open_source("-")
    assert sum(file.stat().st_size for file in cache.rglob("*") if file.is_file()) == len(data), "what was piped"


@pytest.mark.parametrize("name", PACKED[:2] + PACKED[3:4])
def test_the_limit_can_be_raised_and_lowered(tmp_path, monkeypatch, name):
    path = str(packed_file(tmp_path, name if "csv" not in name else PACKED[0]))
    monkeypatch.setenv(copy_limit.VARIABLE, "100kB")
    with pytest.raises(SepoError, match="more than 100,000 bytes"):
        open_source(path)
    monkeypatch.setenv(copy_limit.VARIABLE, "2 MB")
    assert open_source(path).rows == 20_000


def test_a_pipe_without_end_stops_at_the_limit_of_the_user(monkeypatch):
    monkeypatch.setenv(copy_limit.VARIABLE, "100kB")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(BOMB)))
    with pytest.raises(SepoError, match="stdin takes more than 100,000 bytes"):
        open_source("-")


def test_some_of_the_disk_stays_free(tmp_path, monkeypatch):
    monkeypatch.setattr(copy_limit, "CHECK_BYTES", 1 << 16)
    monkeypatch.setattr(copy_limit, "RESERVED_BYTES", 1 << 60)
    monkeypatch.setattr(copy_limit, "RESERVED_SHARE", 1.0)
    monkeypatch.setenv(copy_limit.VARIABLE, "1GB")
    with pytest.raises(SepoError, match="MiB free on the disk"):
        open_source(str(packed_file(tmp_path, "a.jsonl.gz")))


@pytest.mark.parametrize(
    ("text", "size"), [("7", 7), ("2kB", 2000), ("2KiB", 2048), ("1.5 GB", 1_500_000_000), ("1T", 10**12)]
)
def test_sizes(tmp_path, monkeypatch, text, size):
    monkeypatch.setenv(copy_limit.VARIABLE, text)
    with (tmp_path / "x").open("wb") as sink:
        assert copy_limit.bounded(sink, "x", None)._limit == size


@pytest.mark.parametrize("text", ["lots", "-1", "1e9", "GB", "1 PB"])
def test_no_size(tmp_path, monkeypatch, text):
    monkeypatch.setenv(copy_limit.VARIABLE, text)
    with pytest.raises(SepoError, match="is no size"):
        open_source(str(packed_file(tmp_path, "a.jsonl.gz")))


def test_ordinary_data_meet_no_limit(tmp_path):
    texts = [bz2.compress(str(n).encode()).hex() for n in range(20_000)]
    rows = [json.dumps({"prompt": text, "chosen": text[:9], "rejected": text[9:18]}) for text in texts]
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    assert open_source(str(tmp_path / "a.jsonl.gz")).rows == 20_000
