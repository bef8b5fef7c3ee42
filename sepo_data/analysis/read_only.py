"""Guard of `sepo query`: a query reads the given tables and nothing else, by no other statement and from no file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Container

READ_STATEMENTS = ("SELECT", "WITH", "EXPLAIN", "SHOW")
FILE_READERS = frozenset({"read_csv", "read_ipc", "read_json", "read_ndjson", "read_parquet"})
"""The table functions of Polars SQL."""

_SKIPPED = re.compile(r"\s+|\(|--[^\n]*")
_WORD = re.compile(r"[^\W\d]+")
_READER = re.compile(r"\b(?:read|scan)_\w+", re.IGNORECASE)


def check_read_only(sql: str, columns: Container[str] = ()) -> None:
    """Raise a `SepoError` unless `sql` begins as a query does and names no function that opens files.

    Such a name is refused anywhere, also in a string or a comment, so that nothing depends on parsing quotes and
    comments exactly as Polars does. A name that is one of the `columns` and no known reader is a column.
    """
    first, rest = _first_word(sql)
    if first == "EXPLAIN":
        inner, after = _first_word(rest)
        while inner in {"ANALYZE", "VERBOSE"}:
            inner, after = _first_word(after)
        if inner not in {"SELECT", "WITH"}:
            raise SepoError(f"EXPLAIN {inner or 'nothing'}: only a SELECT can be explained", "write EXPLAIN SELECT ...")
    if not first:
        raise SepoError("the query is empty", "for example: SELECT side, AVG(reward) FROM tokens GROUP BY side")
    if first not in READ_STATEMENTS:
        raise SepoError(
            f"{first}: a query only reads; it begins with {', '.join(READ_STATEMENTS[:-1])} or {READ_STATEMENTS[-1]}",
            "`--list` shows queries to start from",
        )
    for name in _READER.findall(sql):
        if name.lower() in FILE_READERS or name not in columns:
            raise SepoError(
                f"{name}: a query reads the given directories and no other file",
                "give further directories as --table name=DIR; in a text, write 'read' || '_csv'",
            )


def _first_word(sql: str) -> tuple[str, str]:
    """The first word in capitals and the text after it; spaces, comments and opening brackets before it are skipped."""
    at = 0
    while at < len(sql):
        if sql.startswith("/*", at):
            at = _end_of_comment(sql, at)
        elif skipped := _SKIPPED.match(sql, at):
            at = skipped.end()
        else:
            break
    word = _WORD.match(sql, at)
    return (word[0].upper(), sql[word.end() :]) if word else (sql[at : at + 1], "")


def _end_of_comment(sql: str, start: int) -> int:
    """Comments nest, as in PostgreSQL."""
    depth, at = 0, start
    while at < len(sql):
        if sql.startswith("/*", at):
            depth, at = depth + 1, at + 2
        elif sql.startswith("*/", at):
            depth, at = depth - 1, at + 2
            if not depth:
                break
        else:
            at += 1
    return at
