"""Columns by which the page filters pairs: what the oracle has seen, and side columns of few distinct values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sepo_data.report.pairs.arrays import packed
from sepo_data.report.pairs.seen_text import END, MARK, seen
from sepo_data.report.shared_rewards import holders
from sepo_data.schemas.stages import stage_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from sepo_data.report.source import Source

MOST_VALUES = 24
"""Distinct values of a column that can be chosen from."""

MOST_COLUMNS = 12
"""Columns to filter by; further ones are left out."""

LONGEST_VALUE = 80
"""Characters of a value in the list, and of the name of a column."""

SEEN = "oracle_seen"
NONE = "(none)"
"""Stands for null."""


def side_columns(source: Source) -> list[str]:
    """Names of the side columns of a dataset that hold single values."""
    import pyarrow as pa

    ours = set(stage_schema(source.manifest.stage, conversational=False, weights=True).names)
    return [
        column.name
        for column in source.shards[0].schema()
        if column.name not in ours and not pa.types.is_nested(column.type) and not pa.types.is_binary(column.type)
    ]


def filter_columns(sources: Sequence[Source], frames: Sequence[pl.DataFrame]) -> list[dict[str, Any]]:
    """The columns with two or more distinct values, and not too many: name, values, and the value of each pair.

    The columns of the first source, and `oracle_seen` of each oracle where they differ.
    """
    seen_by = {sources[number].name: frames[number][SEEN] for number in sorted(set(holders(sources)))}
    same = all(values.equals(frames[0][SEEN], check_names=False, null_equal=True) for values in seen_by.values())
    found = [
        _column(SEEN, "seen by the oracle", frames[0][SEEN])
        if same
        else _column(f"{SEEN} ({name})", f"seen by the oracle of {name}", values)
        for name, values in list(seen_by.items())[: 1 if same else None]
    ]
    found += [_column(name, name, frames[0][name]) for name in side_columns(sources[0])]
    return [column for column in found if column is not None][:MOST_COLUMNS]


def _column(name: str, label: str, values: pl.Series) -> dict[str, Any] | None:
    texts = [_text(value) for value in values.to_list()]
    in_order = values.sort(nulls_last=False).to_list()  # of numbers and dates
    distinct = list(dict.fromkeys(map(_text, in_order)))
    if not 1 < len(distinct) <= MOST_VALUES:
        return None
    codes = {text: code for code, text in enumerate(distinct)}
    return {
        "name": _short(plain(name)),
        "label": _short(plain(label)),
        "values": distinct,
        "codes": packed(np.array([codes[text] for text in texts]), "uint8"),
    }


def _text(value: object) -> str:
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _short(plain(str(value)))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def plain(text: str) -> str:
    """`text` in one line, as `seen` without the marks."""
    return seen(text).replace(MARK, "").replace(END, "").replace("\n", "\\n").replace("\t", "\\t")
