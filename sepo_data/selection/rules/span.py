"""Rule `span`: the tokens inside character spans that an annotator marked, a person or another model."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from sepo_data.console.text import did_you_mean
from sepo_data.errors import SepoError
from sepo_data.selection.rule import Rule, rule
from sepo_data.selection.scores import certain, certain_where, elementwise, signed_rewards

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import polars as pl
    from tokenizers import Tokenizer

    from sepo_data.selection.spans import Marked

SIDES = ("chosen", "rejected")


@rule(source="an annotator")
def span(column: str = "spans") -> Rule:
    """Tokens that share a character with a span in the side columns `chosen_COLUMN` and `rejected_COLUMN`.

    A span is a pair [start, end) of characters of the response; `sepo score --keep-columns chosen_spans,rejected_spans`
    carries the columns through. An empty span marks nothing, and a response without a marked token gives its best one.
    A row with a span that is reversed or outside of its response is skipped. Streams: yes, token by token in Python.
    """

    def prepare(frame: pl.LazyFrame, folder: Path | None) -> Rule:
        from sepo_data.stages.token_text import load_tokenizer_file

        _check_columns(frame, column)
        if folder is None:
            raise SepoError(
                "`span` reads the texts of the tokens", "give the directory: rule.prepared(scan(folder), folder)"
            )
        found = (load_tokenizer_file(folder), column)
        return replace(unprepared, score=partial(_score, *found), unusable=partial(_unusable, *found), prepare=None)

    unprepared = Rule(
        "span",
        {"column": column},
        signed_rewards,
        certain,
        prepare=prepare,
        unusable=lambda _rows: {},  # known once it is prepared
        skippable=False,
    )
    return unprepared


def _check_columns(frame: pl.LazyFrame, column: str) -> None:
    """Raise a `SepoError` where a column of spans is missing or holds something else."""
    from sepo_data.schemas.stages import Stage, stage_schema
    from sepo_data.selection.spans import check_type

    schema = frame.collect_schema()
    names = [f"{side}_{column}" for side in SIDES]
    if missing := [name for name in names if name not in schema]:
        own = stage_schema(Stage.REWARDS, conversational=False).names
        guess = did_you_mean(missing[0], [name for name in schema.names() if name not in own])
        raise SepoError(
            f"the rewards have no column {' and '.join(missing)}",
            guess or f"carry them through with `sepo score --keep-columns {','.join(missing)}`",
        )
    for name in names:
        check_type(name, schema[name])


def _score(tokenizer: Tokenizer, column: str, side: str) -> pl.Expr:
    import numpy as np
    import polars as pl

    from sepo_data.selection.ragged import ragged
    from sepo_data.selection.spans import SpanFault

    def scores(columns: Sequence[pl.Series]) -> pl.Series:
        try:
            flags = [flag for each in _responses(column, side, columns[1:]) for flag in each.tokens_inside(tokenizer)]
        except SpanFault as fault:
            raise SepoError(fault.detail, "`sepo select` skips such rows; correct or remove the row") from None
        return certain_where(np.array(flags, np.bool_), ragged(columns[0]))

    inputs = (pl.col(name) for name in _inputs(column, side))
    return elementwise(scores, signed_rewards(side), *inputs, dtype=pl.List(pl.Int64))


def _unusable(tokenizer: Tokenizer, column: str, frame: pl.DataFrame) -> dict[int, tuple[str, str]]:
    from sepo_data.selection.spans import SpanFault

    found = {}
    for side in SIDES:
        for place, each in enumerate(_responses(column, side, [frame[name] for name in _inputs(column, side)])):
            try:
                each.check(tokenizer)
            except SpanFault as fault:
                found[place] = (fault.reason, fault.detail)
    return found


def _inputs(column: str, side: str) -> tuple[str, ...]:
    return (f"{side}_ids", "prompt_ids", side, f"{side}_{column}")


def _responses(column: str, side: str, columns: Sequence[pl.Series]) -> Iterator[Marked]:
    """The responses of `side` in columns of `_inputs`, each with its spans."""
    from sepo_data.selection.spans import Marked

    for values in zip(*(each.to_list() for each in columns), strict=True):
        yield Marked(f"{side}_{column}", *values)
