"""Bounds of a query: its length and nesting, and a trial in a process of its own where these could blow up.

Polars parses and plans by recursion, without a limit: 1000 `||` or `UNION` overflow the stack and end the process. Some
expressions are copied into their own plan twice, such as the left side of BETWEEN: nested 20 times, a million times.
"""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from sepo_data.analysis.query_text import nested_operators, operators, without_texts
from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

MOST_CHARACTERS = 1_000_000
MOST_OPERATORS = 300  # within each other: half of the least number that was seen to end a process of an 8 MB stack
MOST_ALTERNATIVES = 100  # of OR, from which on a list is suggested
MOST_GROWTH = 100_000  # characters or numbers that a function makes of a number
DEEPEST_BRACKETS = 40  # the parser of Polars takes fewer than 50
PLAIN_OPERATORS, PLAIN_COPIES, PLAIN_BRACKETS = 60, 6, 8  # up to these no trial is needed
TRIAL_SECONDS = 15.0
TRIAL_BYTES = 8 << 30  # of address space, of which threads and mapped libraries take a part

_COPIED = re.compile(r"\b(?:BETWEEN|CASE|SELECT)\b", re.IGNORECASE)
_OR = re.compile(r"\bOR\b", re.IGNORECASE)
_GROWING = re.compile(r"\b(?P<name>[LR]PAD|RANGE|GENERATE_SERIES)\b[\"`]?", re.IGNORECASE)
_CALL = re.compile(r"\s*\(")
_NUMBER = re.compile(r"\s*[-+]?(?P<number>\d{1,18})\s*(?=[,)])")
_BRACKETS = re.compile(r"[()\[\]{}]")
_BRACKETS_AND_COMMAS = re.compile(r"[()\[\]{},]")

_TRIAL = """
import base64, io, json, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, 2 * (min(int(sys.argv[1]), *resource.getrlimit(resource.RLIMIT_AS)),))
except (ImportError, ValueError, OSError):
    pass
import polars as pl
asked = json.load(sys.stdin)
frames = {name: pl.read_ipc(io.BytesIO(base64.b64decode(table))).lazy() for name, table in asked["tables"].items()}
try:
    pl.SQLContext(frames).execute(asked["sql"]).collect()
except pl.exceptions.PolarsError:
    pass
"""


def check_bounds(sql: str) -> None:
    """Raise a `SepoError` if `sql` is longer or more deeply nested than a query may be.

    Operators are counted in texts and comments as well where these may be told apart otherwise than Polars does.
    """
    if len(sql) > MOST_CHARACTERS:
        raise SepoError(
            f"the query has {len(sql):,} characters, and at most {MOST_CHARACTERS:,} are read",
            "put a long list into several queries, each with a part of it, or filter the answer with another program",
        )
    if (depth := _depth(sql)) > DEEPEST_BRACKETS:
        raise SepoError(f"the query has {depth:,} brackets within each other, and at most {DEEPEST_BRACKETS} are read")
    if (found := nested_operators(sql)) > MOST_OPERATORS:
        raise SepoError(
            f"the query has {found:,} operators and keywords within each other, and at most {MOST_OPERATORS} are read",
            "a list may be as long as it needs: write x IN (1, 2, 3) for x = 1 OR x = 2 OR x = 3"
            if len(_OR.findall(sql)) > MOST_ALTERNATIVES
            else "divide it into several columns or queries, and leave out comments and unusual quotes",
        )
    _check_growth(sql)


def _check_growth(sql: str) -> None:
    """Raise where a function makes long texts or lists of a number that is large, or that no one can see."""
    plain = without_texts(sql)
    if plain is None and (found := _GROWING.search(sql)):
        raise SepoError(
            f"{found['name']}: its numbers cannot be found between the comments and quotes of the query",
            "leave out comments within comments, and quotes other than 'text' and \"name\"",
        )
    for found in _GROWING.finditer(plain or ""):
        call = _CALL.match(found.string, found.end())
        if call is None:
            continue  # a column, or RANGE of a window
        name = found["name"].upper()
        numbers = _numbers(found.string, call.end(), name)
        if not numbers or max(numbers) > MOST_GROWTH:
            raise SepoError(
                f"{name} takes whole numbers that are written out, of at most {MOST_GROWTH:,}",
                f"for example {name}(token, 20)" if name.endswith("PAD") else f"for example {name}(0, 20)",
            )


def _numbers(sql: str, at: int, name: str) -> list[int]:
    """The numbers that decide on the size of the answer, of a call with arguments at `at`; none if one is no number."""
    if name.endswith("PAD"):
        at = _end_of_argument(sql, at) + 1
    numbers = []
    while found := _NUMBER.match(sql, at):
        numbers.append(int(found["number"]))
        if name.endswith("PAD") or sql[found.end()] == ")":
            return numbers
        at = found.end() + 1
    return []


def _end_of_argument(sql: str, at: int) -> int:
    depth = 0
    for bracket in _BRACKETS_AND_COMMAS.finditer(sql, at):
        if bracket[0] == "," and not depth:
            return bracket.start()
        depth += (bracket[0] in "([{") - (bracket[0] in ")]}")
    return len(sql)


def check_by_trial(sql: str, frames: Mapping[str, pl.LazyFrame]) -> None:
    """Raise a `SepoError` if Polars cannot plan `sql`; one that is not plain is tried on empty tables, in a process."""
    if is_plain(sql):
        return
    tables = {name: base64.b64encode(_empty(frame)).decode() for name, frame in frames.items()}
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter and a program from above
            [sys.executable, "-P", "-c", _TRIAL, str(TRIAL_BYTES)],
            input=json.dumps({"sql": sql, "tables": tables}).encode("utf-8", "surrogatepass"),
            capture_output=True,
            timeout=TRIAL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        problem = f"after {TRIAL_SECONDS:.0f} s there is no plan for it"
    else:
        if done.returncode == 0:
            return
        problem = "to plan it ends the process, or needs too much memory"
    raise SepoError(
        f"the query cannot be answered: {problem}",
        "write it with fewer BETWEEN, CASE and brackets within each other",
    )


def is_plain(sql: str) -> bool:
    """True if `sql` is so short and flat that Polars plans it at once."""
    return (
        operators(sql) <= PLAIN_OPERATORS
        and nested_operators(sql) <= PLAIN_OPERATORS
        and len(_COPIED.findall(sql)) <= PLAIN_COPIES
        and _depth(sql) <= PLAIN_BRACKETS
    )


def _depth(sql: str) -> int:
    """Brackets that are open at once, at most; closing ones without an opening one do not count."""
    depth = deepest = 0
    for bracket in _BRACKETS.findall(without_texts(sql) or sql):
        depth = depth + 1 if bracket in "([{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest


def _empty(frame: pl.LazyFrame) -> bytes:
    """An Arrow file with the columns of `frame` and no rows."""
    sink = io.BytesIO()
    frame.collect_schema().to_frame().write_ipc(sink)
    return sink.getvalue()
