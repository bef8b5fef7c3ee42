"""Columns side by side, whatever the width of their characters."""

from sepo_data.console.text import aligned_columns


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
