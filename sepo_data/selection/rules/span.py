"""Rule `span`: the tokens inside character spans that an annotator marked, a person or another model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sepo_data.console.text import did_you_mean
from sepo_data.errors import SepoError
from sepo_data.selection.rule import Rule, rule
from sepo_data.selection.scores import certain, certain_where, elementwise, signed_rewards

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import polars as pl
    from tokenizers import Tokenizer

HEAD_CHARACTERS = 32
"""Characters at the beginning of a response by which it is found in the text of its tokens."""


@rule(source="an annotator")
def span(column: str = "spans") -> Rule:
    """Tokens that share a character with a span in the side columns `chosen_COLUMN` and `rejected_COLUMN`.

    A span is a pair [start, end) of characters of the response; `sepo score --keep-columns chosen_spans,rejected_spans`
    carries the columns through. A response without spans gives its best token. Streams: yes, token by token in Python.
    """

    def score(tokenizer: Tokenizer, side: str) -> pl.Expr:
        import numpy as np
        import polars as pl

        from sepo_data.selection.ragged import ragged

        def scores(columns: Sequence[pl.Series]) -> pl.Series:
            names = ("ids", "prompt_ids", "response", "spans")
            inside = [
                _inside(tokenizer, **dict(zip(names, row, strict=True)))
                for row in zip(*(each.to_list() for each in columns[1:]), strict=True)
            ]
            return certain_where(np.array([each for row in inside for each in row], np.bool_), ragged(columns[0]))

        inputs = (pl.col(name) for name in (f"{side}_ids", "prompt_ids", side, f"{side}_{column}"))
        return elementwise(scores, signed_rewards(side), *inputs)

    def prepare(frame: pl.LazyFrame, folder: Path | None) -> Rule:
        from sepo_data.schemas.stages import Stage, stage_schema
        from sepo_data.stages.token_text import load_tokenizer_file

        present = frame.collect_schema().names()
        missing = [name for name in (f"chosen_{column}", f"rejected_{column}") if name not in present]
        if missing:
            own = stage_schema(Stage.REWARDS, conversational=False).names
            guess = did_you_mean(missing[0], [name for name in present if name not in own])
            raise SepoError(
                f"the rewards have no column {' and '.join(missing)}",
                guess or f"carry them through with `sepo score --keep-columns {','.join(missing)}`",
            )
        if folder is None:
            raise SepoError(
                "`span` reads the texts of the tokens", "give the directory: rule.prepared(scan(folder), folder)"
            )
        tokenizer = load_tokenizer_file(folder)
        return replace(unprepared, score=lambda side: score(tokenizer, side), prepare=None)

    unprepared = Rule("span", {"column": column}, signed_rewards, certain, prepare=prepare, skippable=False)
    return unprepared


def _inside(
    tokenizer: Tokenizer,
    ids: Sequence[int],
    prompt_ids: Sequence[int],
    response: str | list[dict[str, str]],
    spans: Iterable[Any] | None,
) -> list[bool]:
    """A boolean for each token: it shares a character with one of `spans`, counted from the start of the response."""
    bounds = [tuple(each.values()) if isinstance(each, dict) else tuple(each) for each in spans or ()]
    if not bounds:
        return [False] * len(ids)
    from sepo_data.stages.token_text import token_texts

    text = response if isinstance(response, str) else response[-1]["content"]
    texts = token_texts(tokenizer, ids, prompt_ids)
    begin = _begin("".join(texts), text)
    mask: list[bool] = []
    start = begin
    waiting = 0  # tokens that are part of the character that the next text completes
    for piece in texts:
        waiting += 1
        if piece:
            end = start + len(piece)
            mask += [any(start < last and first < end for first, last in bounds)] * waiting
            start, waiting = end, 0
    return mask + [False] * waiting


def _begin(decoded: str, response: str) -> int:
    """The place in the response at which the decoded tokens begin: below 0 where the template put something before."""
    stripped = response.lstrip()
    head = stripped[:HEAD_CHARACTERS]
    found = decoded.find(head)
    if found < 0 and head.startswith(decoded.strip()):  # truncated within the first letters
        found = len(decoded) - len(decoded.lstrip())
    if found < 0:
        raise SepoError(
            f"the tokens of the response {head!r} have another text, so spans of characters mean nothing",
            "its tokenizer changes the text; select by tokens, with an expression of your own",
        )
    return len(response) - len(stripped) - found
