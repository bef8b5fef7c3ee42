"""Queries that would overflow the stack of Polars, or that it would plan without an end, are refused first."""

# ruff: noqa: S608 - these are the injections

import polars as pl
import pytest

from sepo_data.analysis import query_bounds
from sepo_data.analysis.named_queries import named_queries
from sepo_data.analysis.query_bounds import MOST_CHARACTERS, MOST_OPERATORS, check_bounds, check_by_trial, is_plain
from sepo_data.errors import SepoError

MANY = 20_000
TOO_MANY = {
    "sum": "SELECT " + "+".join("1" * MANY),
    "texts": "SELECT " + "||".join(["'a'"] * MANY),
    "conditions": "SELECT x FROM t WHERE " + " AND ".join(["x=1"] * MANY),
    "choices": "SELECT x FROM t WHERE " + " or ".join(["x"] * MANY),
    "negations": "SELECT " + "NOT " * MANY + "x",
    "signs": "SELECT " + "- " * MANY + "1",
    "unions": " UNION ALL ".join(["SELECT x FROM t"] * MANY),
    "joins": "SELECT x FROM t" + " JOIN t USING (x)" * MANY,
    "casts": "SELECT x" + "::INT" * MANY,
    "tests": "SELECT x" + " IS NULL" * MANY,
    "fields": "SELECT x" + "->'a'" * MANY,
    "cases": "SELECT CASE" + " WHEN x THEN 1" * MANY + " END",
    "ranges": "SELECT x" + " BETWEEN 1 AND 2" * MANY,
    "types": "SELECT CAST(x AS " + "ARRAY<" * MANY + "INT" + ">" * MANY + ")",
    "intervals": "SELECT " + "INTERVAL " * MANY + "'1 day'",
    "brackets": "SELECT " + "(" * MANY + "1" + ")" * MANY,
    "functions": "SELECT " + "ABS(" * MANY + "x" + ")" * MANY,
    "lists": "SELECT " + "[" * MANY + "]" * MANY,
    "characters": "SELECT '" + "a" * MOST_CHARACTERS + "'",
}


@pytest.mark.parametrize("sql", TOO_MANY.values(), ids=TOO_MANY)
def test_what_is_refused_at_once(sql):
    with pytest.raises(SepoError, match=r"the query has [\d,]+ (operators|brackets|characters).* at most [\d,]+"):
        check_bounds(sql)


ORDINARY = {
    "a long list": f"SELECT x FROM t WHERE x IN ({', '.join(map(str, range(MANY)))})",
    "many columns": "SELECT " + ", ".join(f"x AS c{n}" for n in range(5000)) + " FROM t",
    "a long text": f"SELECT '{'a' * 100_000}' FROM t",
    "a banner": f"-- {'=' * 400}\n-- {'-' * 400}\nSELECT 1 FROM t",
    "many bins": "SELECT CASE " + " ".join(f"WHEN x < {n} THEN {n}" for n in range(40)) + " END FROM t",
}


@pytest.mark.parametrize("sql", ORDINARY.values(), ids=ORDINARY)
def test_what_is_read(sql):
    check_bounds(sql)


@pytest.mark.parametrize("query", named_queries().values(), ids=named_queries())
def test_the_shipped_queries_need_no_trial(query):
    check_bounds(query.sql)
    assert is_plain(query.sql)


COPIED = {
    "ranges": lambda n: "SELECT x FROM t WHERE x" + " BETWEEN 1 AND 2" * n,
    "cases": lambda n: "SELECT " + "CASE " * n + "x" + " WHEN 1 THEN 1 WHEN 2 THEN 2 END" * n + " FROM t",
    "functions": lambda n: "SELECT " + "NULLIF(" * n + "x" + ",1)" * n + " FROM t",
}


@pytest.mark.parametrize("make", COPIED.values(), ids=COPIED)
def test_what_grows_in_planning_is_never_plain(make):
    assert is_plain(make(5))
    assert not is_plain(make(12))
    check_bounds(make(12))


@pytest.mark.slow
def test_a_trial_ends(monkeypatch):
    monkeypatch.setattr(query_bounds, "TRIAL_SECONDS", 4.0)
    frames = {"t": pl.LazyFrame({"x": [1], "side": pl.Series(["a"], dtype=pl.Enum(["a"]))})}
    with pytest.raises(SepoError, match="there is no plan for it"):
        check_by_trial(COPIED["ranges"](30), frames)


@pytest.mark.slow
def test_a_trial_finds_a_crash(monkeypatch):
    monkeypatch.setattr(query_bounds, "TRIAL_SECONDS", 60.0)
    frames = {"t": pl.LazyFrame({"x": [1]})}
    with pytest.raises(SepoError, match="to plan it ends the process"):
        check_by_trial(TOO_MANY["casts"] + " FROM t", frames)


@pytest.mark.slow
def test_a_trial_passes_what_polars_plans(monkeypatch):
    monkeypatch.setattr(query_bounds, "TRIAL_SECONDS", 60.0)
    frames = {"t": pl.LazyFrame({"x": [1], "side": pl.Series(["a"], dtype=pl.Enum(["a"]))})}
    check_by_trial("SELECT side FROM t WHERE " + " AND ".join(["x = 1"] * (MOST_OPERATORS // 2 - 5)), frames)
    check_by_trial("SELECT no_column" + "+ 1" * 100 + " FROM t", frames)  # an error that the query itself reports


TOKENS = r"'-- and', '==', '(', 'it''s or', '\n'"
SIDE_BY_SIDE = {
    "negative numbers": f"SELECT x FROM t WHERE x IN ({', '.join(f'-{n}' for n in range(1, MANY))})",
    "operators as tokens": f"SELECT x FROM t WHERE x IN ({', '.join([TOKENS] * 500)})",
    "pivot columns": f"SELECT {', '.join(f'SUM(CASE WHEN x = {n} THEN y END) AS p_{n}' for n in range(1000))} FROM t",
    "a long comment": f"-- {'and not in it, or with it from here ' * 100}\nSELECT 1 /* {'or is - it ' * 400}*/ FROM t",
    "quoted names": "SELECT " + ", ".join(['"a and b", "it\'s", "(", `--`'] * 500) + " FROM t",
}


@pytest.mark.parametrize("sql", SIDE_BY_SIDE.values(), ids=SIDE_BY_SIDE)
def test_what_is_not_within_each_other_does_not_add_up(sql):
    check_bounds(sql)


WITHIN = {
    "unions of several columns": " UNION ALL ".join(["SELECT x, y FROM t"] * 1000),
    "types of several fields": "SELECT CAST(x AS " + "STRUCT<a INT, b " * 1000 + "INT" + ">" * 1000 + ") FROM t",
    "columns in a list": f"SELECT x FROM t WHERE x IN ({', '.join(['x'] * 1000)})",
    "sums in a list": f"SELECT x FROM t WHERE x IN (1, {', '.join(['x + 1'] * 1000)})",
    "a name with a comma": 'SELECT "a,"' + ' + "a,"' * 1000 + " FROM t",
    "a text with a comma": "SELECT 'a,'" + " || 'a,'" * 1000 + " FROM t",
    "brackets within an item": "SELECT 1, (2" + " + (1) " * 1000 + ") FROM t",
    "an open bracket": "SELECT (" + " NOT" * 200 + " (" + "NOT " * 200,
    "after a closing bracket too many": "SELECT )" + " NOT" * 1000,
}
IN_DOUBT = ["$$'$$", r"'\'", "E'a'", "/* /* */ */", "/*! 1 */", "# '", '"a\\"', "'", "/* a", "'''"]


@pytest.mark.parametrize("sql", WITHIN.values(), ids=WITHIN)
def test_what_is_within_each_other_adds_up(sql):
    with pytest.raises(SepoError, match="operators and keywords within each other"):
        check_bounds(sql)


@pytest.mark.parametrize("doubt", IN_DOUBT)
def test_texts_count_where_they_might_be_misread(doubt):
    check_bounds(f"SELECT {doubt}, '{'and ' * 200}'")
    with pytest.raises(SepoError, match="operators and keywords within each other"):
        check_bounds(f"SELECT {doubt}, '{'and, ' * 400}'")


def test_the_hints_fit():
    def hint(sql):
        with pytest.raises(SepoError) as caught:
            check_bounds(sql)
        return caught.value.hint

    assert "x IN (1, 2, 3)" in hint("SELECT x FROM t WHERE " + " OR ".join(["x = 1"] * 400))
    assert "x IN" not in hint("SELECT 1" + " + 1" * 400)
    ids = ", ".join(f"'{n:032x}'" for n in range(50_000))
    assert "several queries" in hint(f"SELECT x FROM t WHERE id IN ({ids})")


GROWING = [
    "LPAD(x, 100000000)",
    "rpad (x, 100001, ' ')",
    "LPAD(x, y)",
    "LPAD(x, 10 * 100000)",
    "LPAD(CONCAT(x, LEFT(x, 2), ','), 1e9)",
    '"lpad"(x, 1000000)',
    "`lpad`(x, 1000000)",
    "lpad/* */(x, 1000000)",
    "lpad/* /* */ */(x, 10)",
    "LPAD('a, 5)', 1000000, $$ $$)",
    "{fn lpad(x, 1000000)}",
    "LPAD(x, 5) || LPAD(x, 1000000)",
    "LPAD(LPAD(x, 1000000), 5)",
    "LPAD(x, '1000000')",
    "RANGE(1000000)",
    "RANGE(0, 1000000)",
    "GENERATE_SERIES(-1000000, 0)",
    "RANGE(0, LENGTH(x))",
]


@pytest.mark.parametrize("call", GROWING)
def test_what_grows_by_a_number(call):
    with pytest.raises(SepoError, match=r"whole numbers that are written out|numbers cannot be found"):
        check_bounds(f"SELECT {call} FROM t")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT LPAD(x, 100000), RPAD(CONCAT(x, ','), 20, ' ') FROM t",
        "SELECT RANGE(0, 10, 2) FROM t",
        "SELECT SUM(x) OVER (ORDER BY x RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM t",
        "SELECT lpad, 'lpad(x, y)' AS range FROM t -- rpad(x, y)",
    ],
)
def test_what_grows_a_little(sql):
    check_bounds(sql)
