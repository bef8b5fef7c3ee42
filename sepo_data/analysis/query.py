"""SQL over stage datasets: `pairs`, one row a pair; `tokens`, one row a token; `vocabulary`, one row a token id."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl

from sepo_data.analysis import tokens as token_view
from sepo_data.analysis import vocabulary as vocabulary_table
from sepo_data.analysis.named_queries import TWO_SELECTIONS, named_query
from sepo_data.analysis.query_bounds import check_bounds, check_by_trial
from sepo_data.analysis.read_only import check_read_only
from sepo_data.analysis.sql.errors import query_error
from sepo_data.checked import checked
from sepo_data.errors import SepoError
from sepo_data.schemas.folder import TOKENIZER
from sepo_data.schemas.stages import Stage, stage_schema
from sepo_data.stages.scan import fetched_stage, scan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PAIRS = "pairs"
"""The directory of this name has the tables `tokens` and `vocabulary` as well; one called `a` has `a_tokens`, ..."""


@checked()
def query(sql: str, tables: Mapping[str, str | Path], *, verify: bool = True) -> pl.LazyFrame:
    """The answer to `sql`, not yet computed; `@name` stands for a named query.

    Args:
        sql: one SELECT, WITH, EXPLAIN or SHOW statement in the dialect of Polars.
        tables: directories by name. `pairs` gives the tables `pairs`, `tokens` and `vocabulary`, any other name `a` the
            tables `a`, `a_tokens` and `a_vocabulary`.
        verify: compare the hash of each shard with the manifest, once until the file changes.

    Raises:
        SepoError: a directory is no complete rewards or selection dataset, or the query cannot be answered; the hint
            for an unknown column or table has the nearest names.
    """
    frames = open_tables(tables, verify=verify)
    if sql.startswith("@"):
        named = named_query(sql[1:])
        if named.reads == TWO_SELECTIONS and not {"a", "b"} <= tables.keys():
            raise SepoError(f"{sql} reads two selections", "give them as --table a=DIR --table b=DIR")
        sql = named.sql
    check_bounds(sql)
    check_read_only(sql, {name for frame in frames.values() for name in frame.collect_schema()})
    check_by_trial(sql, frames)
    try:
        answer = pl.SQLContext(frames).execute(sql)
        answer.collect_schema()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise query_error(error, frames) from error
    except UnicodeEncodeError as error:
        raise SepoError("the query is not Unicode text", "write it in UTF-8") from error
    return answer


def open_tables(tables: Mapping[str, str | Path], *, verify: bool = True) -> dict[str, pl.LazyFrame]:
    """The three tables of each directory, by their names in a query."""
    if not tables:
        raise SepoError("there is no directory to query", "give a directory, or several as --table name=DIR")
    frames: dict[str, pl.LazyFrame] = {}
    for name, path in tables.items():
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise SepoError(f"{name!r} cannot be the name of a table", "use letters, digits and underscores")
        folder = fetched_stage(path)
        frame = scan(folder, verify=verify)
        text_from = folder if (folder / TOKENIZER / "tokenizer.json").exists() else None
        views = {
            name: frame,
            _beside(name, "tokens"): token_view.tokens(frame, text_from),
            _beside(name, "vocabulary"): vocabulary_table.vocabulary(frame, text_from),
        }
        if taken := sorted(views.keys() & frames.keys()):
            raise SepoError(f"two directories would make the table {taken[0]}", "give them other names")
        frames |= views
    return frames


def schema_of(tables: Mapping[str, str | Path], *, verify: bool = True) -> pl.DataFrame:
    """Every column that a query can name: table, column, type, description."""
    rows = [
        (table, column, _type_name(kind), docs.get(column, "a side column of the input"))
        for table, frame, docs in _documented(open_tables(tables, verify=verify), tables)
        for column, kind in frame.collect_schema().items()
    ]
    return pl.DataFrame(rows, schema=["table", "column", "type", "description"], orient="row")


def _beside(name: str, view: str) -> str:
    return view if name == PAIRS else f"{name}_{view}"


def _documented(
    frames: Mapping[str, pl.LazyFrame], tables: Mapping[str, object]
) -> Iterator[tuple[str, pl.LazyFrame, Mapping[str, str]]]:
    pair_docs = {
        field.name: field.metadata[b"doc"].decode()
        for stage in (Stage.REWARDS, Stage.SELECTION)
        for field in stage_schema(stage, conversational=False)
    }
    for name in tables:
        yield name, frames[name], pair_docs
        yield _beside(name, "tokens"), frames[_beside(name, "tokens")], token_view.TOKEN_COLUMNS
        yield _beside(name, "vocabulary"), frames[_beside(name, "vocabulary")], vocabulary_table.VOCABULARY_COLUMNS


def _type_name(kind: pl.DataType) -> str:
    return "Enum" if isinstance(kind, pl.Enum) else str(kind)
