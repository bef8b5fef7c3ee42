"""Columns side by side, whatever the width of their characters, and characters that steer a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepo_data.console.text import aligned_columns, printable, spelt_out
from tests.fixtures.hostile import HOSTILE, unsafe


def test_the_first_column_is_left_and_the_others_right():
    assert aligned_columns([["", "mean", "max"], ["chosen", "3.5", "12"]]) == [
        "        mean  max",
        "chosen   3.5   12",
    ]


def test_columns_by_number_and_no_blank_at_the_end():
    assert aligned_columns([["n", "text"], ["100", "a"]], right={0}) == ["  n  text", "100  a"]


def test_east_asian_characters_take_two_columns():
    assert aligned_columns([["日本", "1"], ["abcde", "2"]], right=()) == ["日本   1", "abcde  2"]


def test_no_rows():
    assert aligned_columns([]) == []


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_visible_and_a_line_is_a_line(text):
    assert unsafe(spelt_out(text)) == unsafe(printable(text)) == ""
    assert "\n" not in spelt_out(text)
    assert printable(text).count("\n") == text.count("\n")


@pytest.mark.parametrize(
    "text",
    ["plain", "Ärger", "日本\u3000語", "un\xa0mot\u202f!", "שלום", "नमस्ते", "e\u0301", "\u2764\ufe0f", "👍🏽", "a\\x1b"],
)
def test_text_of_any_language_stays(text):
    assert spelt_out(text) == printable(text) == text


def test_half_a_character_is_escaped():
    assert spelt_out("a\ud800\udcff") == "a\\ud800\\udcff"


@given(text=st.text(st.characters(), max_size=40))
def test_any_text_is_visible(text):
    assert unsafe(spelt_out(text)) == ""
    assert spelt_out(spelt_out(text)) == spelt_out(text)


def test_cells_are_spelt_out_before_they_are_aligned():
    assert aligned_columns([["a\nb", "1"], ["c", "22"]]) == ["a\\nb   1", "c     22"]
