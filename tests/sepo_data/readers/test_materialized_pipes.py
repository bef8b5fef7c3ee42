"""Rows from standard input: the first bytes decide the format, and the same bytes are the same source."""

import gzip
import io
import json
import os
import pickle
import subprocess
import sys
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepo_data.errors import SepoError
from sepo_data.readers import materialized
from sepo_data.readers.source import open_source

ROWS = [{"prompt": f"q{n}", "chosen": f"yes, {n} ä", "rejected": "no"} for n in range(5)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
TABLE = pa.Table.from_pylist(ROWS)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pipe(monkeypatch):
    """Open `-` with these bytes on standard input."""

    def open_piped(data, **options):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        return open_source("-", **options)

    return open_piped


def ipc(new):
    sink = pa.BufferOutputStream()
    with new(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return sink.getvalue().to_pybytes()


def parquet():
    sink = pa.BufferOutputStream()
    pq.write_table(TABLE, sink)
    return sink.getvalue().to_pybytes()


zstd = partial(pa.compress, codec="zstd", asbytes=True)


def separated(by):
    quoted = [[f'"{value}"' for value in row.values()] for row in ROWS]
    return "".join(by.join(fields) + "\n" for fields in [list(ROWS[0]), *quoted]).encode()


PIPED = {
    "lines": LINES,
    "blank before": b"\n \n" + LINES,
    "bom": b"\xef\xbb\xbf" + LINES,
    "array": json.dumps(ROWS, indent=1).encode(),
    "csv": separated(","),
    "tsv": separated("\t"),
    "parquet": parquet(),
    "arrow file": ipc(pa.ipc.new_file),
    "arrow stream": ipc(pa.ipc.new_stream),
    "gzip": gzip.compress(LINES),
    "zstd": zstd(separated(",")),
}


@pytest.mark.parametrize("name", PIPED)
def test_the_first_bytes_decide_the_format(pipe, name):
    source = pipe(PIPED[name])
    assert (source.name, source.rows, source.split) == ("-", 5, None)
    assert [row.value for row in source] == ROWS
    again = pickle.loads(pickle.dumps(source))  # noqa: S301
    assert [row.value for row in again.slice(3, 5)] == ROWS[3:]


def test_the_same_bytes_are_the_same_source(pipe, cache):
    first = pipe(LINES)
    assert pipe(LINES) == first
    assert pipe(LINES.replace(b"q0", b"Q0")).fingerprint != first.fingerprint
    assert len(list((cache / "rows").iterdir())) == 2, "one file for each content, and nothing else"


def test_bad_rows_name_standard_input(pipe):
    assert [row.detail for row in pipe(b'{"a": 1}\n[]\n')] == ["stdin line 1", "stdin line 2: list"]


UNREADABLE = {
    "nothing": (b"", "stdin is empty"),
    "blank": (b" \n\n", "stdin is empty"),
    "text": (b"hello\nworld\n", "stdin is neither JSON, CSV, TSV, Arrow nor Parquet"),
    "header": (b"a,b\n", "has no rows"),
    "cut parquet": (parquet()[:-9], "stdin cannot be read"),
    "cut arrow": (ipc(pa.ipc.new_stream)[:-90], "stdin cannot be read"),
    "cut gzip": (gzip.compress(LINES)[:-9], "stdin cannot be read beyond about"),
    "compressed twice": (gzip.compress(gzip.compress(LINES)), "stdin is compressed twice"),
    "utf-16": ("[1]".encode("utf-16"), "stdin is UTF-16"),
}


@pytest.mark.parametrize(("data", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read(pipe, data, message):
    with pytest.raises(SepoError, match=message):
        pipe(data)


def test_a_terminal_is_no_pipe(monkeypatch):
    class Terminal:
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    with pytest.raises(SepoError, match="nothing is piped into it"):
        open_source("-")


def test_a_limit_ends_a_pipe_that_has_no_end(pipe, monkeypatch):
    class Endless(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            lines = b'{"a": "x"}\n' * (len(buffer) // 11 + 1)
            buffer[:] = lines[: len(buffer)]  # cuts a line in two
            return len(buffer)

    monkeypatch.setattr(materialized, "FIRST_CHECK_BYTES", 1 << 16)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(Endless())))
    source = open_source("-", limit=30_000)
    assert source.rows == 30_000
    assert [row.value for row in source.slice(29_990, 40_000)] == [{"a": "x"}] * 10


@pytest.mark.parametrize("name", ["array", "csv", "parquet"])
def test_a_limit_in_every_format(pipe, name, monkeypatch):
    monkeypatch.setattr(materialized, "FIRST_CHECK_BYTES", 1)
    monkeypatch.setattr(materialized, "COPY_BYTES", 7)
    assert [row.value for row in pipe(PIPED[name], limit=3)] == ROWS, "the first 1000 rows are always read"


def test_a_named_pipe(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    write = f"open({str(tmp_path / 'fifo')!r}, 'wb').write({LINES!r})"
    with subprocess.Popen([sys.executable, "-c", write]):
        source = open_source(str(tmp_path / "fifo"))
    assert [row.value for row in source] == ROWS
    assert next(iter(source)).detail == "pipe line 1"


BEGINNINGS = [
    b"",
    b"[",
    b"{",
    b"a,b\n",
    b"PAR1",
    b"ARROW1\0\0",
    b"\xff\xff\xff\xff",
    b"\x1f\x8b\x08",
    b"\x28\xb5\x2f\xfd",
]


@given(st.sampled_from(BEGINNINGS), st.binary(max_size=60))
def test_any_bytes(beginning, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(beginning + data)))
        try:
            source = open_source("-")
        except SepoError:
            return
        assert len(list(source)) == source.rows
