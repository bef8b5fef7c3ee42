"""Wrong queries of many kinds: each has an error in plain English, without a word of the engine's own."""

import re

import polars as pl
import pytest

from sepo_data.analysis.query import query
from sepo_data.analysis.sql.errors import data_error, query_error
from sepo_data.analysis.table_output import write
from sepo_data.errors import SepoError

MARKS = re.compile(
    r"polars|rust|backtrace|panick|unwrap|resolved plan|failed here|this error occurred|supertype|dtype|dyn int|"
    r"invalidoperation|computeerror|schemaerror|sqlinterface|columnnotfound|\bcol\(|\blit\(|\bcs\.|\.alias|\.str\.|"
    r"\b[iu](8|16|32|64|128)\b|\bf(32|64)\b|\b(u?int|float)\d+\b|\bList\(|\bstr\b|\benum\b|categorical|series|::|"
    r"Some\(|None\b|Ident\b|Span|Value\(|\{ |crates/|PGBitwise|BitwiseXor|join_where|"
    r"\.strptime|utf8|TapeError|\[ns\]|'ns'|Number\(|datatype|\bExpr\b",
    re.IGNORECASE,
)
"""Marks of the engine: names of its types, errors and functions, dumps of its plans, and advice about its own API."""

WRONG = """
SELECT
SELECT reward tokens
SELECT reward FROM
SELECT reward FROM tokens WHERE
SELECT reward FROM tokens GROUP
SELECT side, reward FROM tokens GROUP BY side
SELECT rewrd FROM tokens
SELECT t.rewrd FROM tokens t
SELECT x.reward FROM tokens
SELECT reward FROM nothing
SELECT nofunction(reward) FROM tokens
SELECT * FROM nofunction('x')
SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY reward) FROM tokens
SELECT AVG() FROM tokens
SELECT AVG(reward, side) FROM tokens
SELECT SUM(*) FROM tokens
SELECT SUM(pair_id) FROM tokens
SELECT AVG(side) FROM tokens
SELECT side + 1 FROM tokens
SELECT pair_id + 1 FROM tokens
SELECT reward + pair_id FROM tokens
SELECT -pair_id FROM tokens
SELECT reward FROM tokens WHERE reward
SELECT reward FROM tokens WHERE pair_id
SELECT reward FROM tokens WHERE side = 3
SELECT reward FROM tokens WHERE side LIKE 'c%'
SELECT reward FROM tokens WHERE reward = 'x'
SELECT reward FROM tokens WHERE pair_id > 3
SELECT reward FROM tokens WHERE reward LIKE '1%'
SELECT reward FROM tokens WHERE position IN ('a', 'b')
SELECT reward FROM tokens WHERE reward BETWEEN 'a' AND 'b'
SELECT reward FROM tokens WHERE pair_id ~ '('
SELECT REGEXP_LIKE(pair_id, '[') FROM tokens
SELECT reward FROM tokens ORDER BY rewrd
SELECT reward FROM tokens ORDER BY 9
SELECT reward FROM tokens GROUP BY 9
SELECT reward FROM tokens LIMIT x
SELECT reward FROM tokens LIMIT -1
SELECT reward FROM tokens LIMIT 1.5
SELECT reward FROM tokens HAVING reward > 1
SELECT side, COUNT(*) FROM tokens GROUP BY side HAVING rewrd > 1
SELECT CAST(pair_id || 'x' AS INTEGER) FROM tokens
SELECT CAST(side AS INTEGER) FROM tokens
SELECT CAST(reward AS NOTYPE) FROM tokens
SELECT CAST(reward) FROM tokens
SELECT CAST(token_id * 1000000 AS TINYINT) FROM tokens
SELECT CAST('1.7' AS INTEGER)
SELECT (pair_id || 'x')::int FROM tokens
SELECT chosen_ids + 'a' FROM pairs
SELECT chosen_ids[1:2] FROM pairs
SELECT chosen_ids.x FROM pairs
SELECT prompt.x FROM pairs
SELECT chosen_ids = 3 FROM pairs
SELECT SUM(chosen_ids) FROM pairs
SELECT MAX(chosen_rewards) FROM pairs
SELECT pair_id FROM pairs WHERE chosen_ids > 1
SELECT ARRAY_GET(chosen_ids, 'a') FROM pairs
SELECT ARRAY_CONTAINS(chosen_ids, 'a') FROM pairs
SELECT UNNEST(margin) FROM pairs
SELECT UNNEST(chosen_ids), UNNEST(rejected_ids) FROM pairs
SELECT margin FROM pairs JOIN tokens
SELECT margin FROM pairs JOIN tokens ON pairs.pair_id
SELECT margin FROM pairs JOIN tokens ON pairs.pair_id = tokens.nothing
SELECT margin FROM pairs JOIN tokens ON pairs.pair_id = tokens.position
SELECT margin FROM pairs JOIN tokens USING (margin)
SELECT side FROM tokens UNION SELECT side, reward FROM tokens
SELECT side FROM tokens UNION ALL SELECT reward FROM tokens
SELECT side FROM tokens EXCEPT SELECT reward FROM tokens
SELECT side FROM tokens INTERSECT SELECT 1
SELECT (SELECT reward FROM tokens) FROM tokens
SELECT (SELECT MAX(reward), 1 FROM tokens)
WITH a AS (SELECT 1 SELECT * FROM a
WITH a AS (SELECT rewrd FROM tokens) SELECT * FROM a
SELECT RANK() OVER (PARTITION BY x) FROM tokens
SELECT LAG(reward) FROM tokens
SELECT SUM(reward) OVER w FROM tokens
SELECT VARIANCE(pair_id) FROM tokens
SELECT CORR(reward, side) FROM tokens
SELECT QUANTILE_CONT(reward, 'a') FROM tokens
SELECT POW(reward, 'a') FROM tokens
SELECT LOG(pair_id) FROM tokens
SELECT ROUND(reward, 'x') FROM tokens
SELECT SUBSTR(pair_id, 'a') FROM tokens
SELECT UPPER(reward) FROM tokens
SELECT LENGTH(reward) FROM tokens
SELECT STRPOS(reward, 'a') FROM tokens
SELECT STRPOS(NULL, 'a')
SELECT REPLACE(pair_id, 'a') FROM tokens
SELECT COALESCE() FROM tokens
SELECT GREATEST(reward, side) FROM tokens
SELECT DATE('x') FROM tokens
SELECT EXTRACT(YEAR FROM reward) FROM tokens
SELECT STRFTIME(reward, '%Y') FROM tokens
SELECT CASE reward WHEN 'a' THEN 1 END FROM tokens
SELECT CASE WHEN reward THEN 1 ELSE 'a' END FROM tokens
SELECT CASE WHEN reward > 0 THEN 1 FROM tokens
SELECT reward, reward FROM tokens
SELECT reward AS a, position AS a FROM tokens
SELECT *, reward FROM tokens
SELECT * REPLACE (1 AS nothing) FROM tokens
SELECT COLUMNS('(') FROM tokens
SELECT "reward FROM tokens
SELECT 'reward FROM tokens
SELECT $1 FROM tokens
SELECT ? FROM tokens
SELECT @a FROM tokens
SELECT 1; SELECT 2
SELECT 99999999999999999999999999999999999999999 FROM tokens
SELECT 1.0 // 0
SELECT 0x1G FROM tokens
SELECT TOP 3 reward FROM tokens
SELECT DISTINCT ON (nothing) reward FROM tokens
SELECT reward INTO x FROM tokens
SELECT reward FROM tokens PIVOT (SUM(reward) FOR side IN ('a'))
SELECT reward IS DISTINCT FROM 'a' FROM tokens
SELECT reward IS JSON FROM tokens
SELECT reward AT TIME ZONE 'x' FROM tokens
SELECT INTERVAL 'x' FROM tokens
SELECT INTERVAL '1' DAY + reward FROM tokens
SELECT DATE '2020-99-99' FROM tokens
SELECT STRUCT(1, 2) FROM tokens
SELECT {'a': 1} FROM tokens
SELECT MAP {} FROM tokens
SELECT reward -> 'a' FROM tokens
SELECT reward & 1 FROM tokens
SELECT reward ^ 2 FROM tokens
SELECT position << 2 FROM tokens
SELECT reward AND 1 FROM tokens
SELECT pair_id XOR pair_id FROM tokens
SELECT reward COLLATE "x" FROM tokens
EXPLAIN SELECT rewrd FROM tokens
SHOW COLUMNS FROM nothing
SHOW FUNCTIONS
SELECT * FROM (VALUES (1, 'a'), (2)) AS t
SELECT reward FROM tokens WHERE side IN ()
SELECT reward FROM tokens WHERE (reward, position) IN ((1, 2))
SELECT ARRAY_AGG(reward, 1, 2) FROM tokens
SELECT COUNT(DISTINCT reward, side) FROM tokens
SELECT ARRAY_MEAN(margin) FROM pairs
SELECT ARRAY_TO_STRING(chosen_ids, 3) FROM pairs
SELECT NOW() + 1
SELECT SQRT(side) FROM tokens
SELECT MOD(pair_id, 2) FROM tokens
SELECT INITCAP(position) FROM tokens
SELECT LPAD(pair_id, 3, 'ab') FROM tokens
SELECT BIT_COUNT(reward) FROM tokens
SELECT COT(pair_id) FROM tokens
SELECT reward FROM tokens WHERE reward == == 1
SELECT CAST(INTERVAL '1 day' AS VARCHAR) FROM tokens
SELECT CAST(CONCAT(pair_id) AS BOOLEAN) FROM tokens
SELECT CAST(chosen_ids AS VARCHAR) FROM pairs
SELECT CAST('x' AS JSON) FROM pairs
SELECT pair_id / 2 FROM pairs
SELECT pair_id % pair_id FROM pairs
SELECT pair_id // pair_id FROM pairs
SELECT pair_id DIV 2 FROM pairs
SELECT pair_id ~ margin FROM pairs
SELECT pair_id LIKE margin FROM pairs
SELECT pair_id -> margin FROM pairs
SELECT DATE '2020-01-01' = 'x' FROM pairs
SELECT INTERVAL '1 day' / DATE '2020-01-01'
SELECT ARRAY_SUM(pair_id) FROM pairs
SELECT ((reward FROM tokens
SELECT reward,, position FROM tokens
""".strip().splitlines()


@pytest.fixture(scope="module")
def errors(rewards, tmp_path_factory):
    """The error of each query, while it is planned or while it runs."""
    found = {}
    with (tmp_path_factory.mktemp("answers") / "answer").open("wb") as stream:
        for sql in WRONG:
            try:
                write(query(sql, {"pairs": rewards}), stream, "table")
            except SepoError as error:
                found[sql] = error
    return found


def test_all_of_them_are_refused(errors):
    assert [sql for sql in WRONG if sql not in errors] == []


def test_no_message_holds_a_word_of_the_engine(errors):
    shown = {sql: f"{error}\n{error.hint}" for sql, error in errors.items()}
    assert {sql: text for sql, text in shown.items() if MARKS.search(text)} == {}


def test_every_message_is_one_sentence_with_a_way_on(errors):
    for sql, error in errors.items():
        assert "\n" not in str(error), sql
        assert 10 < len(str(error)) < 400, sql
        assert error.hint, sql


@pytest.mark.unstable_api
@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT SUM(pair_id) FROM tokens", "SUM does not take text"),
        ("SELECT AVG(side) FROM tokens", "AVG does not take an enumeration"),
        ("SELECT reward + pair_id FROM tokens", "a number and text cannot be calculated with together"),
        ("SELECT reward FROM tokens WHERE pair_id > 3", "text is compared with a number"),
        ("SELECT reward FROM tokens WHERE reward", "WHERE has a number where a condition is needed"),
        ("SELECT reward FROM tokens WHERE pair_id ~ '('", "a regular expression is wrong: unclosed group"),
        ("SELECT reward, reward FROM tokens", "two columns of the answer are called reward"),
        ("SELECT side, reward FROM tokens GROUP BY side", "reward is neither in GROUP BY nor within an aggregate"),
        ("SELECT reward FROM tokens GROUP", "line 1, column 27 has GROUP where the end of the query is expected"),
        ("SELECT reward FROM", "it ends where a name is expected"),
        ("SELECT (SELECT reward FROM tokens) FROM tokens", "a subquery in the place of a value has 7 rows"),
        ("SELECT margin FROM pairs JOIN tokens", "JOIN has no condition"),
        ("SELECT prompt.x FROM pairs", "there is no field x"),
    ],
)
def test_messages_written_out(errors, sql, message):
    assert str(errors[sql]).endswith(f": {message}")


@pytest.mark.parametrize(
    "message",
    [
        "",
        "something of `f32`",
        "Struct { values: [] }",
        "lost in crates/polars-sql/src/context.rs:12",
        'col("a") has no dtype',
        "called `Option::unwrap()` on a `None` value",
    ],
)
def test_an_unknown_wording_with_a_word_of_the_engine_is_not_shown(message):
    for error in (
        query_error(pl.exceptions.ComputeError(message), {}),
        data_error(pl.exceptions.ComputeError(message)),
    ):
        assert not MARKS.search(str(error))
        assert str(error).startswith("the query ")


def test_a_subquery_of_very_many_rows():
    error = data_error(pl.exceptions.ComputeError("aggregation 'item' expected no or a single value, got 100+ values"))
    assert str(error) == "the query failed: a subquery in the place of a value has 100+ rows"
