"""Texts and comments of a query are told apart as Polars does, or not at all."""

import time

import polars as pl
import pytest

from sepo_data.analysis.query_text import nested_operators, operators, without_texts


@pytest.mark.parametrize(
    ("sql", "plain"),
    [
        ("SELECT 'a, b' AS c", "SELECT '' AS c"),
        ("SELECT 'it''s (' || '\\n'", "SELECT '' || ''"),
        ('SELECT "a", "a, b", `c`', 'SELECT "a", "", `c`'),
        ("SELECT 1 -- it's\n + 2", "SELECT 1  \n + 2"),
        ("SELECT 1 /* it's\n */ + 2", "SELECT 1   + 2"),
        ("SELECT 4 / 2 - 1", "SELECT 4 / 2 - 1"),
        ("SELECT '--', '/*'", "SELECT '', ''"),
        ("SELECT 1 -- /*\n, 2 -- */", "SELECT 1  \n, 2  "),
    ],
)
def test_what_is_certain(sql, plain):
    assert without_texts(sql) == plain


@pytest.mark.parametrize(
    "part", ["$$ ' $$", r"'\'", "e'a'", "n'a'", "u&'a'", "/* /* */ */", "/*! 1 */", "# a", "'a", "/* a", '"a', r'"a\"']
)
def test_what_is_in_doubt(part):
    assert without_texts(f"SELECT {part}") is None
    assert nested_operators(f"SELECT {part}, '+ + +'") == operators(f"SELECT {part}, '+ + +'")


@pytest.mark.parametrize("text", ["it''s", "\\n", "-- a", "/* a */", '"', "`", "$$", "''''", "\r\n--"])
def test_polars_ends_a_text_at_the_same_place(text):
    sql = f"SELECT '{text}' AS a, 1 AS b"
    assert without_texts(sql) == "SELECT '' AS a, 1 AS b"
    assert pl.SQLContext().execute(sql).collect().rows() == [(text.replace("''", "'"), 1)]


@pytest.mark.parametrize("comment", ["-- ' \r , 2\n", "/* -- ' */", "/* $$ */", "--- '\n", "/***' ***/", "--"])
def test_polars_ends_a_comment_at_the_same_place(comment):
    sql = f"SELECT 1 AS a {comment}"
    assert without_texts(sql).rstrip() == "SELECT 1 AS a"
    assert pl.SQLContext().execute(sql).collect().rows() == [(1,)]


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("a + b", 1),
        ("a + b, c + d + e", 2),
        ("f(a + b, c) + d", 2),
        ("f(a + b) + f(a + b)", 3),
        ("f(f(a + b), a + b + c + d)", 3),
        ("a IN (-1, -2, -3)", 2),
        ("a IN ('x', NULL, 2.5, 1e9)", 1),
        ("a IN (b, c)", 3),
        ("a IN (1, b + 1)", 4),
        ("SELECT a, b UNION SELECT a, b UNION SELECT a, b", 5),
    ],
)
def test_items_side_by_side_do_not_add_up(sql, number):
    assert nested_operators(sql) == number


@pytest.mark.parametrize("part", ["x, ", "(", "'a', ", "- ", "'", "/*", "a IN (", ")", '"', " "])
def test_a_long_query_is_read_at_once(part):
    start = time.perf_counter()
    nested_operators(part * (100_000 // len(part)))
    assert time.perf_counter() - start < 20
