"""The vocabulary of a stage dataset: the text, count and rewards of each token id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from sepo_data.schemas.stages import SIDES
from sepo_data.stages.token_text import text_series

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

BLOCK_TOKENS = 1 << 20
"""Tokens counted at a time: their widened copies stay in the processor's cache (2x faster than all at once)."""

VOCABULARY_COLUMNS = {
    "token_id": "id of the token in the vocabulary",
    "token": "text of the token; bytes that are no complete character as <0xE2>",
    "count": "number of occurrences in the responses",
    "mean_reward": "mean of its rewards, both sides",
    "chosen_count": "number of occurrences in chosen responses",
    "rejected_count": "number of occurrences in rejected responses",
    "chosen_reward": "sum of its rewards in chosen responses",
    "rejected_reward": "sum of its rewards in rejected responses",
    "chosen_selected": "number of selected occurrences in chosen responses; not in a rewards dataset",
    "rejected_selected": "number of selected occurrences in rejected responses; not in a rewards dataset",
}
"""The columns of the vocabulary table, each with its content."""


def vocabulary(frame: pl.LazyFrame, text_from: Path | None = None) -> pl.LazyFrame:
    """One row a token id that occurs in the responses of `frame`, in the order of the ids.

    The result of a group by `token_id` over the token view, several times faster: ids are small integers, so the totals
    are arrays that the ids index, and nothing is hashed. Sums are in float64. Streams: yes, a shard at a time.
    With `text_from`, a stage directory, there is a column `token` with the text.
    """
    pairs = frame.collect_schema()
    masked = all(f"{side}_mask" in pairs for side in SIDES)
    schema: dict[str, pl.DataType] = {
        name: pl.String() if name == "token" else pl.Float64() if name.endswith("reward") else pl.Int64()
        for name in VOCABULARY_COLUMNS
        if (name != "token" or text_from is not None) and (masked or not name.endswith("selected"))
    } | {"token_id": pl.Int32()}

    def batches(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        asked = list(schema) if columns is None else columns
        needed = {kind for kind in ("reward", "selected") if any(name.endswith(kind) for name in asked)}
        totals = _totals(frame, needed)
        count = totals["chosen_count"] + totals["rejected_count"]
        found = np.flatnonzero(count)
        made = {name: values[found] for name, values in totals.items()}
        made |= {"token_id": found.astype(np.int32), "count": count[found]}
        if "reward" in needed:
            made["mean_reward"] = (made["chosen_reward"] + made["rejected_reward"]) / made["count"]
        table = pl.DataFrame(made)
        if "token" in asked and text_from is not None:
            table = table.with_columns(token=text_series(text_from).gather(table["token_id"]))
        # A query of no column, such as COUNT(*), needs the number of rows.
        table = table.select(asked) if asked else table.drop(table.columns)
        if rows is not None:
            table = table.head(rows)
        yield table.filter(predicate) if predicate is not None else table

    return register_io_source(batches, schema=schema, is_pure=True, explain_name="sepo vocabulary")


def _totals(frame: pl.LazyFrame, kinds: set[str]) -> dict[str, NDArray[Any]]:
    """Arrays indexed by token id: `{side}_count`, and of `kinds` the sums `{side}_reward` and `{side}_selected`."""
    totals: dict[str, NDArray[Any]] = {}
    lists = {"reward": "rewards", "selected": "mask"}
    needed = [f"{side}_{name}" for side in SIDES for name in ("ids", *(lists[kind] for kind in sorted(kinds)))]

    def add(name: str, part: NDArray[Any]) -> None:
        before = totals.get(name, np.zeros(0, part.dtype))
        if len(before) < len(part):
            before = np.concatenate([before, np.zeros(len(part) - len(before), part.dtype)])
        before[: len(part)] += part
        totals[name] = before

    for side in SIDES:
        add(f"{side}_count", np.zeros(1, np.int64))
    for batch in frame.select(needed).collect_batches(lazy=True):
        for side in SIDES:
            ids = batch[f"{side}_ids"].explode().to_numpy()
            values = {kind: batch[f"{side}_{lists[kind]}"].explode().to_numpy() for kind in kinds}
            for start in range(0, len(ids), BLOCK_TOKENS):
                block = slice(start, start + BLOCK_TOKENS)
                index = ids[block].astype(np.intp)
                add(f"{side}_count", np.bincount(index))
                if "reward" in kinds:
                    add(f"{side}_reward", np.bincount(index, weights=values["reward"][block]))
                if "selected" in kinds:
                    add(f"{side}_selected", np.bincount(index[values["selected"][block]]))
    longest = max(map(len, totals.values()))
    for name, kind in [(f"{side}_{kind}", kind) for side in SIDES for kind in ("count", *kinds)]:
        add(name, np.zeros(longest, np.float64 if kind == "reward" else np.int64))
    return totals
