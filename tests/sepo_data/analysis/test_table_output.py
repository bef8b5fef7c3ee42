"""Numbers, text, lists, nulls and NaN in each format."""

import csv
import errno
import io
import json
import os
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from sepo_data.analysis.table_output import write, write_file
from sepo_data.errors import RefusedError, SepoError

FRAME = pl.LazyFrame(
    {
        "number": [1.5, float("nan"), None],
        "text": ['a "b"\n', "", None],
        "side": pl.Series(["chosen", None, "rejected"], dtype=pl.Enum(["chosen", "rejected"])),
        "list": [[1, None], [], None],
        "message": [[{"role": "user"}], None, []],
        "flag": [True, None, False],
    }
)


def written(frame, form, width=None):
    stream = io.BytesIO()
    note = write(frame, stream, form, width=width)
    return stream.getvalue(), note


def test_ndjson_and_json_have_nulls_for_what_json_cannot_say():
    user = {"role": "user"}
    rows = [
        {"number": 1.5, "text": 'a "b"\n', "side": "chosen", "list": [1, None], "message": [user], "flag": True},
        {"number": None, "text": "", "side": None, "list": [], "message": None, "flag": None},
        {"number": None, "text": None, "side": "rejected", "list": None, "message": [], "flag": False},
    ]  # fmt: skip
    lines, note = written(FRAME, "ndjson")
    assert [json.loads(line) for line in lines.splitlines()] == rows
    assert note == ""
    whole, _ = written(FRAME, "json")
    assert json.loads(whole) == rows
    assert whole.endswith(b"]\n")


def test_csv():
    lines, _ = written(FRAME.select("number", "text", "side", "flag"), "csv")
    assert list(csv.reader(io.StringIO(lines.decode(), newline=""))) == [
        ["number", "text", "side", "flag"],
        ["1.5", 'a "b"\n', "chosen", "true"],
        ["NaN", "", "", ""],
        ["", "", "rejected", "false"],
    ]


def test_csv_refuses_lists():
    with pytest.raises(SepoError, match="list, message would be lists") as caught:
        written(FRAME, "csv")
    assert "ndjson" in caught.value.hint


def test_parquet():
    whole, _ = written(FRAME, "parquet")
    assert_frame_equal(pl.read_parquet(io.BytesIO(whole)), FRAME.collect())


def test_table_written_out():
    table, note = written(FRAME, "table")
    assert table.decode().splitlines() == [
        "number  text       side      list       message             flag",
        "------  ---------  --------  ---------  ------------------  -----",
        '   1.5  "a "b"\\n"  chosen    [1, null]  [{"role": "user"}]  true',
        '   nan  ""         null      []         null                null',
        "  null  null       rejected  null       []                  false",
    ]
    assert note == ""


def test_table_shows_blanks_and_control_characters_and_counts_wide_ones():
    frame = pl.LazyFrame({"token": [" the", "\x1b[31m", "\N{CJK UNIFIED IDEOGRAPH-65E5}", "x" * 61], "n": [1, 2, 3, 4]})
    table, _ = written(frame, "table")
    assert table.decode().splitlines()[2:] == [
        '" the"' + " " * 54 + "  1",
        '"\\x1b[31m"' + " " * 50 + "  2",
        "\N{CJK UNIFIED IDEOGRAPH-65E5}" + " " * 58 + "  3",
        "x" * 57 + "...  4",
    ]


def test_table_stops_at_forty_rows():
    table, note = written(pl.LazyFrame({"n": range(41)}), "table")
    assert len(table.splitlines()) == 42
    assert note.startswith("the first 40 rows")
    table, note = written(pl.LazyFrame({"n": range(40)}), "table")
    assert len(table.splitlines()) == 42
    assert note == ""


def test_table_that_is_too_wide_is_written_one_value_a_line():
    frame = pl.LazyFrame({"a": ["x" * 10, "y"], "long": [1.25, 2.0]})
    assert written(frame, "table", width=16)[0].decode().splitlines()[0] == "a           long"
    assert written(frame, "table", width=15)[0].decode().splitlines() == [
        "-- row 0 --", "a     xxxxxxxxxx", "long  1.25", "-- row 1 --", "a     y", "long  2",
    ]  # fmt: skip


def test_table_of_nothing():
    assert written(pl.LazyFrame({"a": []}), "table", width=0)[0] == b"a\n-\n"
    assert written(pl.LazyFrame(), "table", width=0)[0] == b"\n\n"


@given(values=st.lists(st.one_of(st.none(), st.text(max_size=80)), max_size=8))
def test_a_cell_of_a_table_is_one_line_without_control_characters(values):
    table = written(pl.LazyFrame({"text": pl.Series(values, dtype=pl.String)}), "table")[0].decode()
    assert table.count("\n") == len(values) + 2
    assert all(line.isprintable() for line in table.split("\n"))


@given(
    rows=st.lists(
        st.tuples(st.floats(width=32) | st.none(), st.text(max_size=9), st.lists(st.integers(0, 9), max_size=3)),
        min_size=1,
    )
)
def test_ndjson_gives_back_what_was_written(rows):
    schema = {"reward": pl.Float32, "token": pl.String, "ids": pl.List(pl.Int32)}
    lines, _ = written(pl.LazyFrame(rows, schema=schema, orient="row"), "ndjson")
    back = [json.loads(line) for line in lines.decode().split("\n") if line]
    for (reward, token, ids), row in zip(rows, back, strict=True):
        finite = reward is not None and abs(reward) < float("inf")
        assert row == {"reward": pytest.approx(reward) if finite else None, "token": token, "ids": ids}


def test_a_file_is_whole_or_absent_and_never_replaced_unasked(tmp_path):
    out = tmp_path / "a.csv"
    frame = pl.LazyFrame({"a": ["1", "x"]})
    with pytest.raises(SepoError, match="the query failed: CAST of a: 1 of 1 values cannot be a whole number"):
        write_file(frame.select(pl.col("a").cast(pl.Int64)), out, "csv")
    assert list(tmp_path.iterdir()) == []
    write_file(frame, out, "csv")
    assert out.read_text() == "a\n1\nx\n"
    with pytest.raises(RefusedError, match="exists"):
        write_file(frame, out, "csv")
    write_file(frame.head(1), out, "csv", overwrite=True)
    assert out.read_text() == "a\n1\n"
    with pytest.raises(SepoError, match="is no directory"):
        write_file(frame, tmp_path / "b" / "a.csv", "csv")


def test_a_panic_of_polars_is_an_error_of_the_query():
    def panic(_):
        raise pl.exceptions.PanicException("index out of bounds")

    frame = pl.LazyFrame({"a": [1]}).map_batches(panic)
    for form in ("table", "json"):
        with pytest.raises(SepoError, match=r"the query failed: .*index out of bounds"):
            written(frame, form)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_full_disk_keeps_its_error_number():
    with Path("/dev/full").open("wb", buffering=0) as stream, pytest.raises(OSError) as caught:
        write(pl.LazyFrame({"a": range(100_000)}), stream, "ndjson")
    assert caught.value.errno == errno.ENOSPC


def test_a_closed_pipe_keeps_its_error_number():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as stream, pytest.raises(BrokenPipeError) as caught:
        write(pl.LazyFrame({"a": range(100_000)}), stream, "ndjson")
    assert caught.value.errno == errno.EPIPE


def test_a_table_in_a_file_names_the_formats_that_hold_all(tmp_path):
    frame = pl.LazyFrame({"a": range(41)})
    note = write_file(frame, tmp_path / "a.txt", "table")
    assert note == "the first 40 rows; an --out of .ndjson, .csv or .parquet gives all"
    assert write_file(frame.head(40), tmp_path / "b.txt", "table") == ""
