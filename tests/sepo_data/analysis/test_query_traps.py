"""The traps that docs/query.md names: each holds with the installed engine, and the page has the words for it."""

from pathlib import Path

import polars as pl
import pytest

NAN = float("nan")
TABLE = pl.DataFrame(
    {
        "x": [1.7, -1.7, 2.5, None, NAN],
        "n": [7, -7, 0, None, 3],
        "b": [True, False, None, True, None],
        "s": ["ab", "ä", None, "b", ""],
        "e": pl.Series(["chosen", "rejected", "chosen", None, "chosen"], dtype=pl.Enum(["chosen", "rejected"])),
        "l": [[1], [2, 3], None, [], [4]],
        "f": pl.Series([1.0, 16777216.0, 1.0, None, 1.0], dtype=pl.Float32),
        "i": pl.Series([2_000_000_000, 2_000_000_000, 1, None, 3], dtype=pl.Int32),
    }
)
PAGE = Path(__file__).resolve().parents[3] / "docs" / "query.md"

TRAPS = [
    # the words of the page, the query, its answer in one row a tuple
    ("`IS NOT TRUE`", "SELECT n FROM t WHERE b IS NOT TRUE", [(-7,)]),
    ("`IS NOT TRUE`", "SELECT b IS TRUE AS a FROM t WHERE b IS NULL", [(None,), (None,)]),
    ("`IS DISTINCT FROM TRUE`", "SELECT n FROM t WHERE b IS DISTINCT FROM TRUE", [(-7,), (0,), (3,)]),
    ("`<>`", "SELECT n FROM t WHERE n <> 7", [(-7,), (0,), (3,)]),
    ("`NOT`", "SELECT n FROM t WHERE NOT b", [(-7,)]),
    ("`NOT IN (7, NULL)`", "SELECT n FROM t WHERE n NOT IN (7, NULL)", []),
    ("`COUNT(x)`", "SELECT COUNT(*) AS a, COUNT(x) AS b, COUNT(DISTINCT b) AS c FROM t", [(5, 4, 2)]),
    ("`SUM` of no row", "SELECT SUM(n) AS a, COUNT(n) AS b FROM t WHERE n > 99", [(None, 0)]),
    ("`STRPOS`", "SELECT STRPOS(s, 'b') AS a FROM t", [(2,), (0,), (0,), (1,), (0,)]),
    ("`||`", "SELECT s || 'x' AS a, CONCAT(s, 'x') AS b FROM t WHERE n = 0", [(None, "x")]),
    ("`GREATEST`", "SELECT GREATEST(1, NULL, 3) AS a, LEAST(NULL, 2) AS b", [(3, 2)]),
    ("last in `ORDER BY`", "SELECT n FROM t ORDER BY n", [(-7,), (0,), (3,), (7,), (None,)]),
    ("first in `ORDER BY ... DESC`", "SELECT n FROM t ORDER BY n DESC", [(None,), (7,), (3,), (0,), (-7,)]),
    ("`NULLS LAST`", "SELECT n FROM t ORDER BY n DESC NULLS LAST", [(7,), (3,), (0,), (-7,), (None,)]),
    ("a group", "SELECT b, COUNT(*) AS n FROM t GROUP BY b ORDER BY b", [(False, 1), (True, 2), (None, 2)]),
    ("no partner", "SELECT COUNT(*) AS n FROM t AS p JOIN t AS q ON p.n = q.n", [(4,)]),
    ("NaN equals itself", "SELECT COUNT(*) AS a FROM t WHERE x = x", [(4,)]),
    ("above every number", "SELECT n FROM t WHERE x > 1", [(7,), (0,), (3,)]),
    ("`AVG` and `SUM` of it are NaN", "SELECT AVG(x) <> 0 AND AVG(x) > 9 AS a, SUM(x) > 9 AS b FROM t", [(True, True)]),
    ("`MIN` and `MAX` leave it out", "SELECT MIN(x) AS a, MAX(x) AS b FROM t", [(-1.7, 2.5)]),
    ("`CAST` to a whole number", "SELECT CAST(x AS INTEGER) AS a FROM t WHERE n IN (7, -7, 0)", [(1,), (-1,), (2,)]),
    ("`TRY_CAST`", "SELECT TRY_CAST('1.7' AS INTEGER) AS a, TRY_CAST('x' AS DOUBLE) AS b", [(None, None)]),
    ("`ROUND`", "SELECT ROUND(CAST(0.5 AS DOUBLE)) AS a, ROUND(CAST(2.5 AS DOUBLE)) AS b", [(0.0, 2.0)]),
    ("away from 0", "SELECT CAST(ROUND(2.5) AS VARCHAR) AS a, CAST(ROUND(-0.5) AS VARCHAR) AS b", [("3.0", "-1.0")]),
    ("`/`", "SELECT 7 / 2 AS a, -7 / 2 AS b", [(3.5, -3.5)]),
    ("`//`", "SELECT n // 2 AS a, n % 2 AS b FROM t WHERE n IN (7, -7)", [(3, 1), (-3, -1)]),
    ("infinite", "SELECT 1 / 0 AS a, -1 / 0 AS b", [(float("inf"), float("-inf"))]),
    ("null by `//` and `%`", "SELECT 1 // 0 AS a, 1 % 0 AS b", [(None, None)]),
    ("wrap around", "SELECT SUM(i) AS a FROM t", [(4_000_000_004 - 2**32,)]),
    ("wrap around", "SELECT SUM(CAST(i AS BIGINT)) AS a FROM t", [(4_000_000_004,)]),
    ("single precision", "SELECT SUM(f) AS a, SUM(CAST(f AS DOUBLE)) AS b FROM t", [(16777216.0, 16777219.0)]),
    ("`STDDEV` and `VARIANCE`", "SELECT VARIANCE(n) AS a FROM t WHERE n IN (7, 3)", [(8.0,)]),
    ("`STDDEV` and `VARIANCE`", "SELECT STDDEV(n) AS a FROM t WHERE n = 3", [(None,)]),
    ("is no error", "SELECT n FROM t WHERE e = 'chsen'", []),
    ("is no error", "SELECT n FROM t WHERE s = 3", []),
    ("An aggregate in `WHERE`", "SELECT n FROM t WHERE n > AVG(n) AND n < 7", [(3,)]),
    ("`LENGTH`", "SELECT LENGTH('ä') AS a, OCTET_LENGTH('ä') AS b", [(1, 2)]),
    ("`LIKE`", "SELECT 'A' LIKE 'a' AS a, 'A' ILIKE 'a' AS b, 'ab' LIKE 'b' AS c", [(False, True, False)]),
    ("`SUBSTR`", "SELECT SUBSTR('abc', 1, 1) AS a, SUBSTR('abc', 0) AS b", [("a", "abc")]),
    ("`l[1]`", "SELECT l[1] AS a, l[0] AS b FROM t WHERE n = 7", [(1, None)]),
    ("`array_lower`", "SELECT array_lower(l) AS a, array_upper(l) AS b FROM t WHERE n = -7", [(2, 3)]),
    ("is a decimal", "SELECT 0.1 + 0.2 = 0.3 AS a, CAST(1.0 / 3 AS VARCHAR) AS b", [(True, "0.3333333")]),
]  # fmt: skip


@pytest.mark.unstable_api
@pytest.mark.parametrize(("words", "sql", "rows"), TRAPS, ids=[sql for _, sql, _ in TRAPS])
def test_a_trap_is_as_the_page_says(words, sql, rows):
    assert pl.SQLContext(t=TABLE).execute(sql).collect().rows() == rows
    _, _, traps = PAGE.read_text(encoding="utf-8").partition("**Traps.**")
    assert words in traps.split("\n**", 1)[0].replace("\n  ", " ")
