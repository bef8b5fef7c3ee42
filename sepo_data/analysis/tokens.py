"""The token view of a stage dataset: one row a response token, made from the lists of the pairs that a query uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from polars.io.plugins import register_io_source

from sepo_data.errors import SepoError
from sepo_data.schemas.stages import SIDES
from sepo_data.stages.occurrences import Occurrences
from sepo_data.stages.token_text import text_series

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from polars.datatypes import DataType

SIDE = pl.Enum(SIDES)
"""Groups and compares twice as fast as text; `CAST(side AS VARCHAR)` makes it text, as for LIKE."""

BATCH_TOKENS = 100_000  # yielded at a time, where the engine asks for no size

TOKEN_COLUMNS = {
    "pair_id": "the pair that the token belongs to, as in `pairs`",
    "occurrence": "number of earlier pairs of the same `pair_id`, from 0; joins of two directories need both",
    "side": "`chosen` or `rejected`",
    "position": "index of the token in its response, from 0",
    "token_id": "id of the token in the vocabulary",
    "token": "text of the token; bytes that are no complete character as <0xE2>",
    "reward": "reward of the token: beta * (log p_oracle - log p_ref), in nats times beta",
    "oracle_logp": "log-probability under the oracle, in nats; not in a selection",
    "ref_logp": "log-probability under the reference model, in nats; not in a selection",
    "selected": "true for each selected token; not in a rewards dataset",
}
"""The columns of the token view, each with its content."""

LIST_COLUMNS = {
    "token_id": "{}_ids",
    "reward": "{}_rewards",
    "oracle_logp": "{}_oracle_logps",
    "ref_logp": "{}_ref_logps",
    "selected": "{}_mask",
}
"""The list column of the pairs, by side, from which a column of the token view is made."""


def tokens(frame: pl.LazyFrame, text_from: Path | None = None) -> pl.LazyFrame:
    """One row a response token of the pairs in `frame`; of each shard first the chosen responses, then the rejected.

    A column whose lists `frame` does not have is absent, not null: an average over nulls would look like an answer.
    With `text_from`, a stage directory, there is a column `token` with the text of each token.

    Streams: yes, as many pairs at a time as the source of `frame` yields (a shard). A plain `explode` would expand
    every list, because Polars has to compare their lengths; here the lists that a query does not use are never read.
    """
    pairs = frame.collect_schema()
    lists = {
        name: column for name, column in LIST_COLUMNS.items() if all(column.format(side) in pairs for side in SIDES)
    }
    if "pair_id" not in pairs or "token_id" not in lists:
        raise SepoError("the frame has no tokens: it lacks pair_id or the lists of token ids", "give scan(directory)")
    kinds = _MADE | {name: pairs[column.format(SIDES[0])].inner for name, column in lists.items()}  # type: ignore[attr-defined]
    schema = {
        name: kinds[name] for name in TOKEN_COLUMNS if name in kinds and (name != "token" or text_from is not None)
    }

    def batches(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        left = rows
        for view in _views(frame, lists, list(schema) if columns is None else columns, text_from):
            # The row limit comes before the predicate, as in every scan of Polars.
            limited = view if left is None else view.head(left)
            made = (limited if predicate is None else limited.filter(predicate)).collect(engine="in-memory")
            # A group by that is fed in the size the engine asks for takes a fifth less time.
            yield from made.iter_slices(batch_size or BATCH_TOKENS)
            if left is not None:
                left -= made.height
                if left <= 0:
                    return

    return register_io_source(batches, schema=schema, is_pure=True, explain_name="sepo tokens")


def _views(
    frame: pl.LazyFrame, lists: dict[str, str], asked: list[str], text_from: Path | None
) -> Iterator[pl.LazyFrame]:
    """The columns `asked` of each side of each shard; where no list is among them, the ids give the number of rows."""
    exploded = {name: column for name, column in lists.items() if name in asked}
    if "token" in asked or not exploded:
        exploded["token_id"] = lists["token_id"]
    texts = text_series(text_from) if "token" in asked and text_from is not None else None
    needed = [column.format(side) for side in SIDES for column in exploded.values()]
    identified = ["pair_id"] * (not {"pair_id", "occurrence"}.isdisjoint(asked))
    occurrences = Occurrences()
    for batch in frame.select(identified + needed).collect_batches(lazy=True):
        pairs = batch.lazy()
        if "occurrence" in asked:
            earlier = occurrences.count(batch["pair_id"])
            pairs = pairs.with_columns(pl.lit(pl.Series("occurrence", earlier, pl.Int32)))
        for side in SIDES:
            yield _explode(pairs, side, exploded, asked, texts)


_OF_PAIR: dict[str, DataType] = {"pair_id": pl.String(), "occurrence": pl.Int32()}
_MADE: dict[str, DataType] = _OF_PAIR | {"side": SIDE, "position": pl.Int32(), "token": pl.String()}


def _explode(
    batch: pl.LazyFrame, side: str, lists: dict[str, str], asked: list[str], texts: pl.Series | None
) -> pl.LazyFrame:
    """The columns `asked` of one side, a row a token; a single list is exploded without copying its values."""
    columns = [pl.col(column.format(side)).alias(name) for name, column in lists.items()]
    columns += [pl.col(name) for name in _OF_PAIR if name in asked]
    names = list(lists)
    if "position" in asked:
        lengths = pl.col(next(iter(lists.values())).format(side)).list.len()
        columns.append(pl.int_ranges(lengths, dtype=pl.Int32).alias("position"))
        names.append("position")
    view = batch.select(columns).explode(names)
    if "side" in asked:
        view = view.with_columns(pl.lit(side, dtype=SIDE).alias("side"))
    if texts is not None:
        view = view.with_columns(pl.lit(texts).gather(pl.col("token_id")).alias("token"))
    # A query of no column, such as COUNT(*), needs the number of rows.
    return view.select(asked) if asked else view.drop(names)
