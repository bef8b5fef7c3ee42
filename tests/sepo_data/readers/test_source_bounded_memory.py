"""The cost of reading: memory does not grow with the file, no more of it is read than needed, and only once."""

import errno
import gzip
import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sepo_data.errors import SepoError
from sepo_data.readers import arrow_reader, materialized
from sepo_data.readers.source import open_source
from sepo_data.storage import cache as fact_cache

LINE = b'{"prompt": "' + b"x" * 480 + b'"}\n'


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def files(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


GROWTH = """
import resource, sys
from sepo_data.readers.source import open_source

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

list(open_source(sys.argv[1]).slice(0, 10))
begun = peak()
for path in sys.argv[2:]:
    source = open_source(path)
    for start in 0, source.rows // 2, source.rows - 500:
        assert sum(1 for _ in source.slice(start, start + 500)) == 500
    print(path.rpartition("/")[2], source.rows, peak() - begun, flush=True)
"""


def test_memory_does_not_grow_with_the_file(tmp_path, cache):
    (tmp_path / "small.jsonl").write_bytes(LINE * 10)
    (tmp_path / "x.jsonl").write_bytes(LINE * 120_000)  # 60 MB
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(LINE * 120_000, 1))
    (tmp_path / "x.json").write_bytes(b"[" + LINE.replace(b"\n", b",") * 39_999 + LINE + b"]")
    (tmp_path / "x.csv").write_bytes(b"a,b\n" + (b"x" * 490 + b",2\n") * 40_000)
    names = {"x.jsonl": 120_000, "x.jsonl.gz": 120_000, "x.json": 40_000, "x.csv": 40_000}
    command = [sys.executable, "-c", GROWTH, *(str(tmp_path / name) for name in ["small.jsonl", *names])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    grown = [line.split() for line in done.stdout.splitlines()]
    assert [(name, count) for name, count, _ in grown] == [(name, str(rows)) for name, rows in names.items()]
    assert all(int(megabytes) < 16 for _, _, megabytes in grown), grown


# A limit.


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.jsonl", b'{"a": 1}\n' * 3000),
        ("x.csv", b"1,2\n" * 3001),
        ("x.json", b"[" + b'{"a": 1},\n' * 2999 + b"{}]"),
        ("x.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 3000)),
    ],
)
def test_a_limit_reads_the_beginning(tmp_path, name, text):
    (tmp_path / name).write_bytes(text)
    whole, first = open_source(str(tmp_path / name)), open_source(str(tmp_path / name), limit=1200)
    assert (first.rows, whole.rows) == (1200, 3000)
    assert list(first) == list(whole.slice(0, 1200))
    assert open_source(str(tmp_path / name), limit=10).rows == 1000, "the shape is detected from so many"


def test_what_lies_behind_the_limit_changes_nothing(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(LINE * 2000)
    whole, first = open_source(str(tmp_path / "x.jsonl")), open_source(str(tmp_path / "x.jsonl"), limit=1500)
    assert (first.rows, whole.rows) == (1500, 2000)
    assert first.fingerprint != whole.fingerprint
    with (tmp_path / "x.jsonl").open("ab") as file:
        file.write(b"more\n" * 10)
    assert open_source(str(tmp_path / "x.jsonl"), limit=1500).fingerprint == first.fingerprint
    assert open_source(str(tmp_path / "x.jsonl")).fingerprint != whole.fingerprint
    (tmp_path / "x.jsonl").write_bytes(b" " + LINE * 2000)
    assert open_source(str(tmp_path / "x.jsonl"), limit=1500).fingerprint != first.fingerprint


def test_a_limit_beyond_the_end_is_none(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(LINE * 2000)
    assert open_source(str(tmp_path / "x.jsonl"), limit=2000) == open_source(str(tmp_path / "x.jsonl"))


def test_a_limit_opens_no_more_files_than_it_needs(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n' * 1500)
    (tmp_path / "b.jsonl").write_bytes(b'{"other": 1}\n' * 1500)
    assert open_source(str(tmp_path), limit=1500).rows == 1500
    with pytest.raises(SepoError, match="differ in their columns"):
        open_source(str(tmp_path), limit=1501)


def test_a_limit_unpacks_the_beginning(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(materialized, "FIRST_CHECK_BYTES", 1 << 16)
    lines = b"".join(b'{"a": %d}\n' % number for number in range(100_000))
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(lines + b"cut")[:-30])
    source = open_source(str(tmp_path / "x.jsonl.gz"), limit=5000)
    assert [row.value["a"] for row in source] == list(range(5000))
    [beginning] = (cache / "rows").iterdir()
    assert beginning.stat().st_size < 200_000 < len(lines)
    with pytest.raises(SepoError, match="cannot be read beyond about"):
        open_source(str(tmp_path / "x.jsonl.gz"))
    assert len(list((cache / "rows").iterdir())) == 1, "nothing half is left"


# Once.


def test_a_file_is_unpacked_once(tmp_path, cache, monkeypatch):
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(LINE * 10))
    first = open_source(str(tmp_path / "x.jsonl.gz"))
    monkeypatch.setattr(materialized, "_decoder", None)
    assert open_source(str(tmp_path / "x.jsonl.gz")) == first
    (tmp_path / "moved").mkdir()
    (tmp_path / "x.jsonl.gz").rename(tmp_path / "moved" / "x.jsonl.gz")
    assert open_source(str(tmp_path / "moved" / "x.jsonl.gz")).fingerprint == first.fingerprint


@pytest.fixture
def every_file_is_large(monkeypatch):
    monkeypatch.setattr(fact_cache, "MIN_CACHED_BYTES", 0)


def test_large_files_are_counted_once(tmp_path, cache, every_file_is_large, monkeypatch):
    path = tmp_path / "x.jsonl"
    path.write_bytes(LINE * 600)
    fresh = open_source(str(path))
    assert not cache.exists(), "the next change might fall into the same tick of the clock"
    monkeypatch.setattr(fact_cache, "SETTLED_SECONDS", 0.0)
    assert open_source(str(path)) == fresh
    assert len(files(cache)) == 2
    counted = []
    monkeypatch.setattr("sepo_data.readers.text_reader._count", lambda *_: counted.append("rows"))
    monkeypatch.setattr("sepo_data.readers.source.hashlib", None)
    again = open_source(str(path))
    assert not counted
    assert again == fresh
    assert [row.number for row in again.slice(595, 700)] == list(range(595, 600))


def test_a_changed_file_is_counted_again(tmp_path, every_file_is_large, monkeypatch):
    monkeypatch.setattr(fact_cache, "SETTLED_SECONDS", 0.0)
    path = tmp_path / "x.jsonl"
    path.write_bytes(LINE * 3)
    os.utime(path, (1, 1))
    fingerprint = open_source(str(path)).fingerprint
    path.write_bytes(LINE * 2 + LINE.replace(b"x", b"\n"))
    os.utime(path, (1, 1))
    source = open_source(str(path))
    assert path.stat().st_size == 3 * len(LINE)
    assert source.fingerprint != fingerprint
    assert source.rows != 3


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_a_damaged_note_is_no_note(tmp_path, cache, every_file_is_large, monkeypatch, content):
    monkeypatch.setattr(fact_cache, "SETTLED_SECONDS", 0.0)
    (tmp_path / "x.jsonl").write_bytes(LINE * 3)
    fresh = open_source(str(tmp_path / "x.jsonl"))
    for note in (cache / "index").iterdir():
        note.write_bytes(content)
    assert open_source(str(tmp_path / "x.jsonl")) == fresh


# Disk space.


class FullDisk:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def write(self, _piece):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_reported(tmp_path, monkeypatch):
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(LINE))
    monkeypatch.setattr(materialized, "atomic_write", lambda _path: FullDisk())
    with pytest.raises(SepoError, match="rows cannot be written: No space left on device") as caught:
        open_source(str(tmp_path / "x.jsonl.gz"))
    assert "SEPO_CACHE" in caught.value.hint


def test_a_cache_that_is_no_folder_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEPO_CACHE", str(tmp_path / "file"))
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(LINE))
    with pytest.raises(SepoError, match=r"file cannot be written: Not a directory"):
        open_source(str(tmp_path / "x.jsonl.gz"))
    (tmp_path / "x.jsonl").write_bytes(LINE)
    assert open_source(str(tmp_path / "x.jsonl")).rows == 1, "plain files need no cache"


# Arrow.


def test_a_large_row_group_is_written_anew_as_arrow(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(arrow_reader, "MAX_GROUP_ROWS", 100)
    monkeypatch.setattr(arrow_reader, "BATCH_ROWS", 30)
    names = pa.array([f"s{number % 3}" for number in range(350)]).dictionary_encode()
    table = pa.table({"a": range(350), "source": names, "turns": [[{"role": "user"}]] * 350})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=200)
    source = open_source(str(tmp_path / "x.parquet"))
    assert files(cache)[0].endswith(".arrow")
    assert [row.value for row in source] == table.to_pylist()
    assert [row.value["a"] for row in source.slice(195, 205)] == list(range(195, 205))
    assert open_source(str(tmp_path / "x.parquet"), limit=50).rows == 350, "not worth it for the first rows"


def test_wide_rows_are_taken_a_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(arrow_reader, "BATCH_BYTES", 1000)
    table = pa.table({"a": ["x" * 300] * 20})
    pq.write_table(table, tmp_path / "x.parquet", compression="none", use_dictionary=False)
    with pa.ipc.new_file(str(tmp_path / "x.arrow"), table.schema) as writer:
        writer.write_table(table)
    taken = []
    values = arrow_reader.python_rows
    monkeypatch.setattr(
        arrow_reader, "python_rows", lambda start, stop, read: taken.append(stop - start) or values(start, stop, read)
    )
    for name in ("x.parquet", "x.arrow"):
        assert len(list(open_source(str(tmp_path / name)))) == 20
    assert max(taken) <= 3


def test_a_table_without_columns(tmp_path):
    pq.write_table(pa.table({}), tmp_path / "x.parquet")
    with pa.ipc.new_file(str(tmp_path / "x.arrow"), pa.schema([])):
        pass
    for name in ("x.parquet", "x.arrow"):
        with pytest.raises(SepoError, match=f"{name} has no rows"):
            open_source(str(tmp_path / name))


def test_notes_are_json(tmp_path, cache, every_file_is_large, monkeypatch):
    monkeypatch.setattr(fact_cache, "SETTLED_SECONDS", 0.0)
    (tmp_path / "x.jsonl").write_bytes(LINE * 501)
    open_source(str(tmp_path / "x.jsonl"))
    notes = [json.loads(note.read_bytes()) for note in (cache / "index").iterdir()]
    counted = next(note for note in notes if isinstance(note, dict))
    size = len(LINE)
    assert counted == {"rows": 501, "marks": [[1, 0], [251, 250 * size], [501, 500 * size]], "end": None}
