"""CSV for spreadsheets: no text and no name of a column begins as a formula, and numbers stay numbers."""

import csv
import datetime as dt
import io

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepo_data.analysis.csv_output import write_csv

FORMULAS = {
    "formula": "=1+1",
    "command": "=cmd|' /C calc'!A0",
    "plus": "+1",
    "minus": "-1+1",
    "function": "@SUM(A1)",
    "tab": "\t=1",
    "return": "\r=1",
    "line break": "\n=1",
    "full width": "\uff1d1",
    "full-width plus": "\uff0b1",
    "full-width minus": "\uff0d1",
    "full-width at": "\uff20A",
    "small": "\ufe661",
    "after a blank": " =1",
    "after what is not seen": "\ufeff\u200b\0=1",
    "with a separator": '=HYPERLINK("http://x","y")',
}
HARMLESS = ["", "a", "1", "a=1", "'=1", "0-1", "a@b", "日", " a", "#", None]


def written(frame, *, safe):
    stream = io.BytesIO()
    write_csv(frame.lazy(), stream, safe=safe)
    return stream.getvalue().decode()


def rows(text):
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("text", FORMULAS.values(), ids=FORMULAS)
@pytest.mark.parametrize("kind", [pl.String, pl.Categorical, pl.Enum])
def test_texts_and_names_get_an_apostrophe(text, kind):
    kind = pl.Enum([text]) if kind is pl.Enum else kind
    frame = pl.DataFrame({text: pl.Series([text, None], dtype=kind), "n": [-1, 2]})
    assert rows(written(frame, safe=True)) == [[f"'{text}", "n"], [f"'{text}", "-1"], ["", "2"]]
    assert rows(written(frame, safe=False)) == [[text, "n"], [text, "-1"], ["", "2"]]


def test_other_texts_stay_and_null_is_not_the_empty_text():
    frame = pl.DataFrame({"a": HARMLESS})
    assert written(frame, safe=True) == written(frame, safe=False)


def test_numbers_stay_numbers():
    frame = pl.DataFrame(
        {"i": [-1], "f": [-1.5e-300], "inf": [float("-inf")], "d": [dt.date(2026, 1, 2)], "b": [True]}
    ).with_columns(decimal=pl.lit("-1.5").str.to_decimal(scale=1))
    assert written(frame, safe=True) == written(frame, safe=False)


def test_names_that_become_one_and_no_columns():
    assert written(pl.DataFrame({"=a": [1], "'=a": [2]}), safe=True) == "'=a,'=a\n1,2\n"
    assert rows(written(pl.DataFrame({"=a": []}), safe=True)) == [["'=a"]]
    assert written(pl.DataFrame(), safe=True) == written(pl.DataFrame(), safe=False)


@given(values=st.lists(st.text(max_size=9), min_size=1))
def test_the_text_is_behind_the_apostrophe(values):
    frame = pl.DataFrame({"a": values}, schema={"a": pl.String})
    for value, [cell] in zip(values, [row or [""] for row in rows(written(frame, safe=True))[1:]], strict=True):
        assert cell in {value, f"'{value}"}
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20"))
