"""The rule `span`: the tokens inside character spans that somebody gave, a person or another model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from sepo_data.console.suggest import did_you_mean
from sepo_data.errors import SepoError
from sepo_data.schemas.stages import SIDES, Stage, stage_schema
from sepo_data.selection.ragged import ragged
from sepo_data.selection.rules import CERTAIN, Rule, certain, elementwise, signed_rewards
from sepo_data.stages.token_text import load_tokenizer_file, token_texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tokenizers import Tokenizer

HEAD = 32
"""Letters at the beginning of a response by which it is found in the text of its tokens."""


def span(column: str = "spans") -> Rule:
    """Tokens that share a character with one of the spans in the side columns `chosen_COLUMN` and `rejected_COLUMN`.

    A span is a pair [start, end) of characters of the response: `sepo score --keep chosen_decisive,rejected_decisive`
    carries them through. A response without spans gives its best token. Streams: yes, a Python loop over the tokens.
    """

    def score(tokenizer: Tokenizer, side: str) -> pl.Expr:
        def scores(columns: Sequence[pl.Series]) -> pl.Series:
            rewards = ragged(columns[0])
            names = ("ids", "prompt_ids", "response", "spans")
            inside = [
                _inside(tokenizer, **dict(zip(names, row, strict=True)))
                for row in zip(*(each.to_list() for each in columns[1:]), strict=True)
            ]
            marks = np.array([mark for row in inside for mark in row], np.bool_)
            return rewards.with_values(np.where(marks, CERTAIN, rewards.values)).to_series()

        inputs = [signed_rewards(side), *(pl.col(name) for name in (f"{side}_ids", "prompt_ids", side))]
        spans = pl.col(f"{side}_{column}")
        return elementwise(scores, *inputs, spans)

    def prepare(frame: pl.LazyFrame, folder: Path | None) -> Rule:
        present = frame.collect_schema().names()
        missing = [f"{side}_{column}" for side in SIDES if f"{side}_{column}" not in present]
        if missing:
            own = stage_schema(Stage.REWARDS, conversational=False).names
            guess = did_you_mean(missing[0], [name for name in present if name not in own])
            raise SepoError(
                f"the rewards have no column {' and '.join(missing)}",
                guess or f"carry them through with `sepo score --keep {','.join(missing)}`",
            )
        if folder is None:
            raise SepoError(
                "`span` reads the texts of the tokens", "give the directory: rule.prepared(scan(folder), folder)"
            )
        tokenizer = load_tokenizer_file(folder)
        return replace(rule, score=lambda side: score(tokenizer, side), prepare=None)

    rule = Rule("span", {"column": column}, signed_rewards, certain, prepare=prepare)
    return rule


def _inside(
    tokenizer: Tokenizer,
    ids: Sequence[int],
    prompt_ids: Sequence[int],
    response: str | list[dict[str, str]],
    spans: Iterable[Any] | None,
) -> list[bool]:
    """For each token, whether it shares a character with one of `spans`, which count from the response's beginning."""
    bounds = [tuple(each.values()) if isinstance(each, dict) else tuple(each) for each in spans or ()]
    if not bounds:
        return [False] * len(ids)
    text = response if isinstance(response, str) else response[-1]["content"]
    texts = token_texts(tokenizer, ids, prompt_ids)
    begin = _begin("".join(texts), text)
    marks: list[bool] = []
    start = begin
    waiting = 0  # tokens that are a part of the character which the next text completes
    for piece in texts:
        waiting += 1
        if piece:
            end = start + len(piece)
            marks += [any(start < last and first < end for first, last in bounds)] * waiting
            start, waiting = end, 0
    return marks + [False] * waiting


def _begin(decoded: str, response: str) -> int:
    """The place in the response at which the decoded tokens begin: below 0 where the template put something before."""
    stripped = response.lstrip()
    head = stripped[:HEAD]
    found = decoded.find(head)
    if found < 0 and head.startswith(decoded.strip()):  # truncated within the first letters
        found = len(decoded) - len(decoded.lstrip())
    if found < 0:
        raise SepoError(
            f"the tokens of the response {head!r} have another text, so spans of characters mean nothing",
            "its tokenizer changes the text; give a selection by tokens as your own expression",
        )
    return len(response) - len(stripped) - found
