"""Rows read from the middle of a text file equal those read from the beginning."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepo_data.errors import SepoError
from sepo_data.readers import csv_reader, json_reader, text_reader
from sepo_data.readers.rows import DataFile, Row
from sepo_data.readers.source import open_source

LINES = [b'{"a": 0}\n', b"\n", b"  \r\n", b'{"a": 1}\r\n', b"broken\n", b'{"a": "\xff"}\n', b"[1]\n", b'{"a": 5}\n'] * 3
RECORDS = ['a,"b\nb"\n', "\n", "ä,2\r\n", "1\n", '"x" y,2\n', "\udcff,2\n", "ö,5\n"] * 3
ITEMS = ['{"a": 0}', '\n\n {"ä": 1}', "12\n", '{"a": "\udcff"}', '{"a": 1, "a": 2}', '{"a": 5}'] * 3
CRLF = "\r\n"
FILES = {
    "x.jsonl": b"".join(LINES),
    "bom.jsonl": b"\xef\xbb\xbf" + b"".join(LINES),
    "x.csv": ("one,two\n" + "".join(RECORDS)).encode("utf-8", "surrogateescape"),
    "bom.csv": b"\xef\xbb\xbf" + ("one,two\n" + "".join(RECORDS)).encode("utf-8", "surrogateescape"),
    "old_mac.csv": b"one,two\r" + b"a,b\r" * 18,
    "x.json": f"[{','.join(ITEMS)}]".encode("utf-8", "surrogateescape"),
    "bom.json": b"\xef\xbb\xbf" + f" [{', '.join(ITEMS)} ] ".encode("utf-8", "surrogateescape"),
}
READERS = {"jsonl": json_reader.read_json_lines, "csv": csv_reader.read_csv, "json": json_reader.read_json}


@pytest.fixture(params=FILES, scope="module")
def table(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / request.param
    path.write_bytes(FILES[request.param])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_reader, "MARK_ROWS", 4)
        patch.setattr("sepo_data.readers.json_array.CHUNK_CHARACTERS", 7)
        yield READERS[path.suffix[1:]](DataFile(path, str(path), path.name, path.suffix), None)


@given(ends=st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted))
def test_any_slice_is_a_part_of_the_whole(table, ends):
    start, stop = ends
    whole = list(table.read(0, table.rows))
    assert [row.number for row in whole] == list(range(18))
    assert list(table.read(start, stop)) == whole[start:stop]


@pytest.mark.parametrize(
    ("name", "problems", "last"),
    [
        ("x.jsonl", ["", "", "invalid_json", "invalid_utf8", "not_an_object", ""], "x.jsonl line 24"),
        ("x.csv", ["", "", "wrong_number_of_fields", "invalid_csv", "invalid_utf8", ""], "x.csv line 25"),
        ("x.json", ["", "", "not_an_object", "invalid_utf8", "invalid_json", ""], "x.json line 10"),
    ],
)
def test_every_bad_row_has_a_reason_and_a_line(tmp_path, name, problems, last):
    (tmp_path / name).write_bytes(FILES[name])
    rows = list(open_source(str(tmp_path / name)))
    assert [row.problem for row in rows] == problems * 3
    assert rows[-1].detail == last


@pytest.mark.parametrize(
    ("name", "row"),
    [("x.jsonl", b'{"a": 1}\n'), ("x.csv", b"1,22,333\n"), ("x.json", b'{"a":1}\n,')],
)
def test_the_end_is_read_without_the_beginning(tmp_path, name, row):
    path = tmp_path / name
    path.write_bytes((b"[" if name == "x.json" else b"") + row * 10_000 + (b"{}]" if name == "x.json" else b""))
    source = open_source(str(path))
    whole = list(source)
    with path.open("r+b") as file:
        file.write(b'\xff"[' * 10_000)  # whoever reads the beginning finds it broken
    assert list(source.slice(9_700, 9_800)) == whole[9_700:9_800]


def rows_of(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    return list(open_source(str(tmp_path / name)))


def test_numbers_that_json_does_not_know(tmp_path):
    [row] = rows_of(tmp_path, "x.jsonl", b'{"a": NaN, "b": -Infinity, "c": 123456789012345678901234567890}')
    assert math.isnan(row.value["a"])
    assert row.value["b"] == -math.inf
    assert row.value["c"] == 123456789012345678901234567890


def test_a_key_twice_would_lose_a_value(tmp_path):
    rows = rows_of(tmp_path, "x.jsonl", b'{"a": 1}\n{"b": [{"a": 1, "c": 2, "a": 3}]}\n')
    assert rows[1] == Row(1, None, "invalid_json", "x.jsonl line 2: the key 'a' occurs twice")


def test_joined_files_have_marks_in_the_middle(tmp_path):
    rows = rows_of(tmp_path, "x.jsonl", b'\xef\xbb\xbf{"a": 1}\n\xef\xbb\xbf{"a": 2}\n\xef\xbb\xbf\n')
    assert [row.value for row in rows] == [{"a": 1}, {"a": 2}]


def test_nul_bytes(tmp_path):
    rows = rows_of(tmp_path, "x.jsonl", b'{"a": 1}\n\0\n{"a": "\0"}\n{"a": "\\u0000"}\n')
    assert [(row.value, row.problem) for row in rows] == [
        ({"a": 1}, ""),
        (None, "invalid_json"),
        (None, "invalid_json"),
        ({"a": "\0"}, ""),
    ]
    assert [row.value for row in rows_of(tmp_path, "x.csv", b"a,b\n\0,2\n")] == [{"a": "\0", "b": "2"}]


def test_a_line_of_50_megabytes_is_a_row(tmp_path):
    rows = rows_of(tmp_path, "x.jsonl", b'{"a": "' + b"x" * 50_000_000 + b'"}\n{"a": 1}\n')
    assert [len(rows[0].value["a"]), rows[1].value] == [50_000_000, {"a": 1}]


def test_longer_lines_are_set_aside_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(json_reader, "MAX_ROW_BYTES", 10)
    exact, longer = b'{"a": 34}\n', b'{"a": "' + b"x" * 30 + b'"}\n'
    rows = rows_of(tmp_path, "x.jsonl", exact + longer + exact + longer + b'{"a": 345}')
    assert [(row.problem, row.detail.split(":")[0]) for row in rows] == [
        ("", "x.jsonl line 1"),
        ("too_large", "x.jsonl line 2"),
        ("", "x.jsonl line 3"),
        ("too_large", "x.jsonl line 4"),
        ("", "x.jsonl line 5"),
    ]


def test_an_item_and_a_record_that_are_too_long_end_the_reading(tmp_path, monkeypatch):
    monkeypatch.setattr("sepo_data.readers.json_array.CHUNK_CHARACTERS", 10)
    monkeypatch.setattr("sepo_data.readers.json_array.MAX_ROW_BYTES", 1 << 20)
    monkeypatch.setattr(csv_reader, "MAX_ROW_BYTES", 1 << 20)
    long = "x" * (3 << 20)
    with pytest.raises(Exception, match="line 2, byte 12: an item is longer than 1 MiB"):
        rows_of(tmp_path, "x.json", json.dumps([{"a": 1}, {"a": long}]).replace(", {", ",\n {").encode())
    with pytest.raises(Exception, match=r"x\.csv, before line \d+: a record is longer than 1 MiB") as caught:
        rows_of(tmp_path, "x.csv", b'a,b\n1,2\n"1,2\n' + b"1,2\n" * 300_000)
    assert caught.value.hint == "a quote may never be closed"


@pytest.mark.parametrize(
    ("data", "line", "last"),
    [
        (b'a,b\n1,2\n3,"4\n5,6\n', 3, 4),
        (b'a,b\n1,"x\n""y"""\n"two\nlines","4\n5,6\n7,8', 5, 7),
        (b'"a,b\n1,2\n', 1, 2),
    ],
)
def test_a_quote_that_is_never_closed_is_told(tmp_path, data, line, last):
    with pytest.raises(SepoError, match=rf"x\.csv, line {line}: .* all up to line {last} would"):
        rows_of(tmp_path, "x.csv", data)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n\r\n"])
def test_a_quote_left_open_in_the_last_record(tmp_path, end):
    rows = rows_of(tmp_path, "x.csv", b'a,b\n1,2\n3,"4' + end)
    assert [row.problem for row in rows] == ["", "invalid_csv"]
    assert rows[1].detail.startswith("x.csv line 3: unexpected end of data")


def test_a_bad_record_tells_all_of_its_lines(tmp_path):
    rows = rows_of(tmp_path, "x.csv", b'a,b\n1,"2\n3,4\n5,"6"\n7,8\n')
    assert [row.detail for row in rows] == ["""x.csv line 2: ',' expected after '"', in lines 2 to 4""", "x.csv line 5"]


def test_text_behind_a_quote_does_not_lose_its_quotes(tmp_path):
    rows = rows_of(tmp_path, "x.tsv", b'a\tb\n"Hi" he said\t2\nhe said "Hi"\t2\n')
    assert rows[0].problem == "invalid_csv"
    assert rows[1].value == {"a": 'he said "Hi"', "b": "2"}
