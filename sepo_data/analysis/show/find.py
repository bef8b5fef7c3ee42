"""Pairs by their content: a text that they have, or a condition in SQL over their columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sepo_data.analysis.show.directory import Directory

TEXTS = ("prompt", "chosen", "rejected")
LONGEST_TEXT = 1000
"""Characters of a text that is looked for."""

EXAMPLE = 'for example: --where "margin < 0"'

_ENGINE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)


def rows_with_text(directory: Directory, text: str) -> NDArray[np.int64]:
    """The numbers of the pairs that have `text` in the prompt or a response, in upper or lower case.

    Streams: yes, one shard at a time.

    Raises:
        SepoError: the text is too long, or no Unicode text.
    """
    if len(text) > LONGEST_TEXT:
        raise SepoError(f"the text to find has {len(text):,} characters, at most {LONGEST_TEXT:,} are", "give a part")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SepoError("the text to find is not Unicode text", "write it in UTF-8") from None
    pattern = f"(?i){pl.escape_regex(text)}"
    found = [np.empty(0, np.int64)]
    for frame, start in zip(directory.frames(TEXTS), directory.starts.tolist(), strict=False):
        found.append(frame.select(_has(frame.schema, pattern))["found"].arg_true().to_numpy() + start)
    return np.concatenate(found)


def _has(schema: pl.Schema, pattern: str) -> pl.Expr:
    """True where a text, or the content of a message, matches."""
    texts = [
        pl.col(name).str.contains(pattern)
        if schema[name] == pl.String
        else pl.col(name).list.eval(pl.element().struct.field("content").str.contains(pattern)).list.any()
        for name in TEXTS
    ]
    return pl.any_horizontal(each.fill_null(value=False) for each in texts).alias("found")


def rows_where(directory: Directory, condition: str) -> NDArray[np.int64]:
    """The numbers of the pairs for which the SQL condition is true, over the columns of `pairs` and the number `row`.

    Bounded, guarded and explained as the queries of `sepo query`.

    Raises:
        SepoError: it cannot be answered.
    """
    try:
        return _rows_where(directory, condition)
    except SepoError as error:
        hint = EXAMPLE if "WHERE" in error.hint else error.hint.replace("`--", f"`sepo query {directory.folder} --")
        message = _of_condition(error.message, condition)
        raise SepoError(f"--where: {message}", hint or EXAMPLE) from error


def _of_condition(message: str, condition: str) -> str:
    """A message about the query, told of the condition, which begins on its second line; our own bracket follows it."""
    after = f"line {condition.count(chr(10)) + 3}, column 1 has )"
    message = message.replace(f"{after} where the end of the query is expected", "it has one ) too many")
    message = message.replace(after, "it ends")
    return re.sub(r"\bline (\d+), column", lambda found: f"line {int(found[1]) - 1}, column", message)


def _rows_where(directory: Directory, condition: str) -> NDArray[np.int64]:
    # Heavy, and needed for a condition alone.
    from sepo_data.analysis.query_bounds import check_bounds, check_by_trial
    from sepo_data.analysis.read_only import check_read_only
    from sepo_data.analysis.sql.errors import data_error, query_error
    from sepo_data.stages.scan import scan_shards

    pairs = scan_shards(directory.shards)
    names = set(pairs.collect_schema())
    row = "row"
    while row in names:  # a side column has its name
        row += "_"
    if not condition.strip():
        raise SepoError("the condition is empty")
    sql = f'SELECT "{row}" FROM pairs WHERE (\n{condition}\n)'  # noqa: S608 - a query that reads, of the user's own
    frames = {"pairs": pairs.with_row_index(row)}
    check_bounds(sql)
    check_read_only(sql, names)
    check_by_trial(sql, frames)
    try:
        answer = pl.SQLContext(frames).execute(sql)
        if list(answer.collect_schema()) != [row]:
            raise SepoError("it is no condition", EXAMPLE)
    except _ENGINE as error:
        raise query_error(error, frames) from error
    except UnicodeEncodeError as error:
        raise SepoError("the condition is not Unicode text", "write it in UTF-8") from error
    try:
        rows = answer.collect()[row]
    except _ENGINE as error:
        raise data_error(error) from error
    return np.unique(rows.drop_nulls().cast(pl.Int64).to_numpy())
