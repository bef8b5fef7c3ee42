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
    with pytest.raises(SepoError, match="Polars has no plan for it"):
        check_by_trial(COPIED["ranges"](30), frames)


@pytest.mark.slow
def test_a_trial_finds_a_crash(monkeypatch):
    monkeypatch.setattr(query_bounds, "TRIAL_SECONDS", 60.0)
    frames = {"t": pl.LazyFrame({"x": [1]})}
    with pytest.raises(SepoError, match="Polars ends while it plans it"):
        check_by_trial(TOO_MANY["casts"] + " FROM t", frames)


@pytest.mark.slow
def test_a_trial_passes_what_polars_plans(monkeypatch):
    monkeypatch.setattr(query_bounds, "TRIAL_SECONDS", 60.0)
    frames = {"t": pl.LazyFrame({"x": [1], "side": pl.Series(["a"], dtype=pl.Enum(["a"]))})}
    check_by_trial("SELECT side FROM t WHERE " + " AND ".join(["x = 1"] * (MOST_OPERATORS // 2 - 5)), frames)
    check_by_trial("SELECT no_column" + "+ 1" * 100 + " FROM t", frames)  # an error that the query itself reports
