"""Parquet and Arrow files that unpack to more than memory holds: refused from their headers; ordinary ones are read."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sepo_data.errors import SepoError
from sepo_data.readers import arrow_reader, copy_limit
from sepo_data.readers.source import open_source
from sepo_data.readers.unpacked import ipc_sizes, longest_value, plain_bytes

LONG = "a" * 200_000
ROWS = 300


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(copy_limit.VARIABLE, raising=False)
    monkeypatch.setattr(copy_limit, "SMALL_ARROW_BYTES", 10 << 20)
    monkeypatch.setattr(arrow_reader, "ODD_BYTES", 100_000)
    monkeypatch.setattr(arrow_reader, "REPEATED_BYTES", 1 << 20)


def table(answers):
    return pa.table({"prompt": ["q"] * len(answers), "chosen": answers, "rejected": ["no"] * len(answers)})


def dictionary(rows=ROWS):
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([LONG]))


BOMBS = {
    "repeated.parquet": lambda path: pq.write_table(table([LONG] * ROWS), path, compression="zstd"),
    "dictionary.parquet": lambda path: pq.write_table(table(dictionary()), path, compression="zstd"),
    "beginnings.parquet": lambda path: pq.write_table(
        table([LONG + str(n) for n in range(ROWS)]),
        path,
        use_dictionary=False,
        column_encoding={"chosen": "DELTA_BYTE_ARRAY"},
    ),
    "later.parquet": lambda path: pq.write_table(
        table(["a"] * 1000 + [LONG] * ROWS), path, compression="zstd", dictionary_pagesize_limit=1 << 20
    ),
    "file.zstd.arrow": lambda path: write_ipc(path, pa.ipc.new_file, "zstd"),
    "stream.zstd.arrow": lambda path: write_ipc(path, pa.ipc.new_stream, "zstd"),
    "stream.lz4.arrow": lambda path: write_ipc(path, pa.ipc.new_stream, "lz4"),
}


def write_ipc(path, new, compression, answers=(LONG,) * ROWS):
    rows = table(list(answers))
    with new(path, rows.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(rows)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_takes_memory(tmp_path, name):
    BOMBS[name](tmp_path / name)
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(SepoError, match=r"takes more than [\d,]+ bytes unpacked, from [\d,]+") as caught:
        list(open_source(str(tmp_path / name)))
    assert str(caught.value).count(name) == 1
    assert copy_limit.VARIABLE in caught.value.hint
    assert pa.default_memory_pool().max_memory() <= max(before, 30 << 20)


@pytest.mark.parametrize("name", BOMBS)
def test_one_that_is_trusted_is_read(tmp_path, monkeypatch, name):
    BOMBS[name](tmp_path / name)
    monkeypatch.setenv(copy_limit.VARIABLE, "1GB")
    source = open_source(str(tmp_path / name))
    assert sum(len(row.value["chosen"]) >= len(LONG) for row in source) == ROWS
    assert next(iter(source.slice(source.rows - 1, source.rows))).value["rejected"] == "no"


def test_plain_repetition_meets_no_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(arrow_reader, "MAX_GROUP_ROWS", 1000)
    pq.write_table(table([f"answer {n % 50} {'x' * 50}" for n in range(50_000)]), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size * copy_limit.RATIO < 50_000 * 50
    assert len(list(open_source(str(tmp_path / "a.parquet")))) == 50_000


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 60_000 + 12 + 5 + 6),
        ({"compression": "zstd"}, 60_000 + 12 + 5 + 6),
        ({"use_dictionary": False}, 0),
    ],
)
def test_the_values_that_rows_share_are_measured(tmp_path, options, expected):
    pq.write_table(table(["a" * 30_000, "b" * 30_000, "cccc"] * 3), tmp_path / "a.parquet", **options)
    facts = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0)
    with (tmp_path / "a.parquet").open("rb") as file:
        assert longest_value(facts, file) == pytest.approx(expected, abs=8)


def test_a_value_of_a_dictionary_counts_each_time():
    rows = table(dictionary(7)).to_batches()[0]
    assert plain_bytes(rows) >= 7 * len(LONG)
    assert plain_bytes(rows.slice(2, 3)) < 5 * len(LONG)


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
@pytest.mark.parametrize("new", [pa.ipc.new_file, pa.ipc.new_stream])
def test_the_messages_of_arrow_are_measured_packed(tmp_path, compression, new):
    write_ipc(tmp_path / "a.arrow", new, compression, [json.dumps(n) for n in range(1000)])
    with pa.memory_map(str(tmp_path / "a.arrow")) as file:
        size = sum(ipc_sizes(file))
    assert size == pytest.approx(table([json.dumps(n) for n in range(1000)]).nbytes, rel=0.05)
