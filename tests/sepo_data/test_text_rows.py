"""A file of JSON lines is read from the middle as it is from the beginning."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepo_data import text_rows

LINES = [b'{"a": 0}\n', b"\n", b"  \r\n", b'{"a": 1}\r\n', b"broken\n", b'{"a": "\xff"}\n', b"[1]\n", b'{"a": 5}\n'] * 3


@pytest.fixture(params=["plain", "gzip", "bom"], scope="module")
def table(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("lines") / ("x.jsonl.gz" if request.param == "gzip" else "x.jsonl")
    text = b"".join(LINES)
    path.write_bytes({"plain": text, "gzip": gzip.compress(text), "bom": b"\xef\xbb\xbf" + text}[request.param])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_rows, "MARK_ROWS", 4)
        yield text_rows.read_json_lines(path)


@given(ends=st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted))
def test_any_slice_is_a_part_of_the_whole(table, ends):
    start, stop = ends
    whole = list(table.read(0, table.rows))
    assert [row.number for row in whole] == list(range(18))
    assert list(table.read(start, stop)) == whole[start:stop]


def test_lines_are_counted_from_the_beginning_of_the_file(table):
    [row] = table.read(17, 18)
    assert (row.value, row.detail.split()[-1]) == ({"a": 5}, "24")


def test_the_end_is_read_without_the_beginning(tmp_path, monkeypatch):
    monkeypatch.setattr(text_rows, "MARK_ROWS", 1000)
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1}\n' * 100_000)
    table = text_rows.read_json_lines(path)
    begun = []
    lines = text_rows._lines
    monkeypatch.setattr(text_rows, "_lines", lambda path, *mark: begun.append(mark) or lines(path, *mark))
    assert len(list(table.read(99_500, 100_000))) == 500
    assert begun == [(99_001, 99_000 * 9)]
