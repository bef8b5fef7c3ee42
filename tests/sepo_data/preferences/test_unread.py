"""The line of columns that are not read has a bounded length."""

from sepo_data.preferences.unread import unread_line


def test_columns_of_a_few():
    assert unread_line(["id", "source"]) == "not read: id, source"


def test_columns_of_a_wide_table():
    line = unread_line([f"column {number}" for number in range(1_000_000)])
    assert line.startswith("not read: column 0, column 1, ")
    assert line.endswith(", column 19 and 999,980 more")


def test_a_name_of_any_length_and_any_characters():
    line = unread_line(["a" * 1000, "\ud800"])
    assert line == f"not read: {'a' * 40}... (1,000 characters), \\ud800"
