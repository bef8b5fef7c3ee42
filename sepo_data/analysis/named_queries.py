"""The named queries of `sepo query`: the files `queries/*.sql`, listed without importing Polars.

A file is a query: its name, after an optional number that orders the list, is the name of the query; its first lines
are `-- question: ...` and `-- reads: ...`, the tables that it needs as in `READS`; the rest is SQL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sepo_data.console.text import did_you_mean
from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent / "queries"

TWO_SELECTIONS = "two selections"
READS = {
    "rewards or selection": "rewards or selection",
    "selection": "selection",
    TWO_SELECTIONS: f"{TWO_SELECTIONS}, --table a=DIR --table b=DIR",
}
"""The directories that a query may need, and how they are listed."""

_FILE_NAME = re.compile(r"(?:\d+-)?(?P<name>[a-z\d-]+)\.sql")
_HEADER = re.compile(r"-- question: (?P<question>.+)\n-- reads: (?P<reads>.+)\n")


@dataclass(frozen=True, slots=True)
class NamedQuery:
    """A query by name: the question it answers, the directories it reads (a key of `READS`), and its SQL."""

    name: str
    question: str
    reads: str
    sql: str


@cache
def named_queries(folder: Path = FOLDER) -> dict[str, NamedQuery]:
    """Every named query by its name, in the order of the file names."""
    queries = [read_query(file) for file in sorted(folder.glob("*.sql"))]
    return {query.name: query for query in queries}


def read_query(file: Path) -> NamedQuery:
    """The query in `file`.

    Raises:
        ValueError: the file's name or one of its two first lines is not as the docstring of this module says.
    """
    text = file.read_text(encoding="utf-8")
    name, header = _FILE_NAME.fullmatch(file.name), _HEADER.match(text)
    if name is None or header is None or header["reads"] not in READS:
        raise ValueError(
            f"{file}: name it name.sql and begin it with '-- question: ...' and '-- reads: {' | '.join(READS)}'"
        )
    return NamedQuery(name["name"], header["question"], header["reads"], text[header.end() :].strip())


def named_query(name: str) -> NamedQuery:
    """The query called `name`, without its @."""
    queries = named_queries()
    if name not in queries:
        raise SepoError(
            f"there is no query named @{name}", did_you_mean(name, list(queries)) or "`sepo query --list` shows them"
        )
    return queries[name]


def listing(name: str | None = None) -> Iterator[str]:
    """The lines that `sepo query --list` prints: every query and its question, or the SQL of the one called `name`."""
    if name is not None:
        yield from named_query(name.removeprefix("@")).sql.split("\n")
        return
    for query in named_queries().values():
        yield f"@{query.name}  ({READS[query.reads]})"
        yield f"    {query.question}"
