"""Check a preference dataset before any model is loaded: its shape, its lengths, and the rows that are skipped."""

from __future__ import annotations

import sys
from array import array
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sepo_data.analysis.lengths import Lengths
from sepo_data.checked import at_least, checked
from sepo_data.console.progress import SILENT, Progress
from sepo_data.preferences.holdout import HOLDOUT, SPLIT
from sepo_data.preferences.preferences import read_preferences
from sepo_data.preferences.reading import Reading, as_reading
from sepo_data.preferences.sides import side_of
from sepo_data.preferences.skipped import OnBadRow, enforce_on_bad_row
from sepo_data.schemas.stages import TURN_KEYS
from sepo_data.shapes.pairs import Pair, SkippedRow, json_text
from sepo_data.tokenization.tokenize import TokenizedPair, over_limit
from sepo_data.tokenization.tokenized_dataset import CHUNK_ROWS, TokenizedDataset

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from sepo_data.preferences.preferences import Preferences
    from sepo_data.shapes.pairs import Message, Text

PARTS = ("prompt", "chosen", "rejected")
LONGEST = "longest"  # prompt and longer response
PROGRESS_EVERY_CHUNKS = 20
"""Chunks of rows between two reports of the progress."""

CHARACTERS_PER_TOKEN = 4
"""Of English text in most vocabularies: the estimate without a tokenizer."""

Item = Pair | TokenizedPair | SkippedRow


@checked(max_length=at_least(2), on_bad_row=OnBadRow)
def check(
    reading: Reading | str | Path,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    max_length: int | None = None,
    on_bad_row: OnBadRow = "skip",
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Read and tokenize a complete dataset, and report its shape and its problems.

    Memory grows by 16 bytes a pair alone, which find the repeated pairs.

    Args:
        reading: the dataset and its reading options, or its name.
        tokenizer: without one, lengths are in characters, and findings that need tokens are left out.
        max_length: tokens of prompt and one response; longer pairs are counted as skipped.
        on_bad_row: count unusable rows, or stop at the first.
        progress: gets the number of rows done.

    Returns:
        The object that `sepo check --json` prints.

    Raises:
        SepoError: the dataset cannot be read, its shape is unknown, or `on_bad_row` is "fail" and a row is unusable.
    """
    preferences = read_preferences(as_reading(reading).in_any_order())
    tokenized = None
    if tokenizer is not None:  # pairs of any length: `found` counts those over the limit
        tokenized = TokenizedDataset(preferences, tokenizer, sys.maxsize, truncate=None, embeddings=sys.maxsize)
    found = Findings(max_length or sys.maxsize)
    done = 0
    with closing(_chunks(preferences, tokenized)) as chunks:
        for items in chunks:
            for item in items:
                found.add(item)
            enforce_on_bad_row(found.first.values(), on_bad_row)
            done += CHUNK_ROWS
            if done % (PROGRESS_EVERY_CHUNKS * CHUNK_ROWS) == 0 or done >= preferences.rows:
                progress.step(min(done, preferences.rows), preferences.rows, f"{found.pairs:,} pairs")
    dated = tokenized.template_plan if tokenized else {}
    return {**_input(preferences), **found.report(tokenizer, max_length), **dated}


def _chunks(preferences: Preferences, tokenized: TokenizedDataset | None) -> Generator[Iterable[Item]]:
    """All rows in chunks; the pairs among them with their tokens, where there is a tokenizer."""
    if tokenized is None:
        yield from (preferences.slice(start, start + CHUNK_ROWS) for start in range(0, preferences.rows, CHUNK_ROWS))
        return
    with closing(tokenized.chunks()) as chunks:
        for pairs, skipped in chunks:
            yield [*pairs, *skipped]


@dataclass
class Findings:
    """Counts of the rows read so far. Lengths are those of all pairs, the ones over the limit included."""

    max_length: int
    pairs: int = 0
    rows_used: int = 0
    holdout: int = 0
    boundary_merged: int = 0
    end_trimmed: int = 0
    long_pairs: int = 0
    long_prompts: int = 0
    example: Pair | TokenizedPair | None = None
    first: dict[str, SkippedRow] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, Lengths] = field(default_factory=lambda: {name: Lengths() for name in (*PARTS, LONGEST)})
    pair_ids: array[int] = field(default_factory=lambda: array("Q"))
    prompt_ids: array[int] = field(default_factory=lambda: array("Q"))
    last_row: int = -1

    def add(self, item: Item) -> None:
        """Count one pair or one skipped row."""
        if isinstance(item, SkippedRow):
            self._skip(item)
            return
        pair = _pair(item)
        lengths = _lengths(item)
        longest = lengths["prompt"] + max(lengths["chosen"], lengths["rejected"])
        for name, length in (lengths | {LONGEST: longest}).items():
            self.lengths[name].add(length)
        self.pair_ids.append(int(pair.pair_id, 16))
        self.prompt_ids.append(int(pair.prompt_id, 16))
        if isinstance(item, TokenizedPair) and (too_long := over_limit(item, self.max_length)):
            self.long_pairs += 1
            self.long_prompts += lengths["prompt"] >= self.max_length
            self._skip(too_long)
            return
        self.pairs += 1
        self.rows_used += pair.source_row != self.last_row
        self.last_row = pair.source_row
        self.holdout += side_of(pair.extra.get(SPLIT)) == HOLDOUT
        self.boundary_merged += isinstance(item, TokenizedPair) and item.boundary_merged
        self.end_trimmed += isinstance(item, TokenizedPair) and item.end_trimmed
        if self.example is None or pair.source_row < _pair(self.example).source_row:
            self.example = item

    def _skip(self, row: SkippedRow) -> None:
        self.counts[row.reason] = self.counts.get(row.reason, 0) + 1
        if row.reason not in self.first or row.row < self.first[row.reason].row:
            self.first[row.reason] = row

    def report(self, tokenizer: PreTrainedTokenizerBase | None, max_length: int | None) -> dict[str, Any]:
        """The counts as a JSON object."""
        in_tokens = tokenizer is not None or (isinstance(self.example, Pair) and self.example.ids is not None)
        totals = {part: self.lengths[part].total for part in PARTS}
        report: dict[str, Any] = {
            "usable": self.pairs > 0,
            "pairs": self.pairs,
            "rows_used": self.rows_used,
            "skipped": {
                reason: {"count": count, "first_row": self.first[reason].row, "detail": self.first[reason].detail}
                for reason, count in sorted(self.counts.items())
            },
            "repeated_pairs": len(self.pair_ids) - len(np.unique(np.asarray(self.pair_ids))),
            "prompts": len(np.unique(np.asarray(self.prompt_ids))),
            "holdout": self.holdout,
            "unit": "tokens" if in_tokens else "characters",
            "lengths": {name: lengths.summary() for name, lengths in self.lengths.items() if lengths.counts},
            "histogram": [
                {"from": low, "to": high, "pairs": pairs} for low, high, pairs in self.lengths[LONGEST].histogram()
            ],
            "tokens": totals if in_tokens else {part: -(-n // CHARACTERS_PER_TOKEN) for part, n in totals.items()},
            "tokens_are_estimated": not in_tokens,
            "example": None if self.example is None else _rendered(self.example, tokenizer),
        }
        if tokenizer is not None:
            report |= {
                "tokenizer": tokenizer.name_or_path,
                "boundary_merged": self.boundary_merged,
                "end_trimmed": self.end_trimmed,
                "max_length": max_length,
                "over_limit": {"pairs": self.long_pairs, "prompts": self.long_prompts},
            }
        return report


def _input(preferences: Preferences) -> dict[str, Any]:
    source, shape = preferences.source, preferences.shape
    return {
        "dataset": source.name,
        "split": source.split,
        "fingerprint": source.fingerprint,
        "rows": preferences.rows,
        "shape": {"name": shape.name, "description": shape.description, "columns": dict(shape.columns)},
        "unread": preferences.unread,
    }


def _pair(item: Pair | TokenizedPair) -> Pair:
    return item.pair if isinstance(item, TokenizedPair) else item


def _lengths(item: Pair | TokenizedPair) -> dict[str, int]:
    """Lengths of prompt, chosen and rejected: in tokens where there are any, else in characters."""
    if isinstance(item, TokenizedPair):
        return {part: len(getattr(item, f"{part}_ids")) for part in PARTS}
    texts = item.ids or [_plain(getattr(item, part)) for part in PARTS]
    return {part: len(text) for part, text in zip(PARTS, texts, strict=True)}


def _plain(text: Text) -> str:
    return text if isinstance(text, str) else "\n".join(map(_plain_message, text))


def _plain_message(message: Message) -> str:
    """The role and content of a message, below them its further keys."""
    further = {key: message[key] for key in TURN_KEYS if key in message}
    lines = (f"{key}: {value if isinstance(value, str) else json_text(value)}" for key, value in further.items())
    return "\n".join([f"{message['role']}: {message['content']}", *lines])


def _rendered(item: Pair | TokenizedPair, tokenizer: PreTrainedTokenizerBase | None) -> dict[str, Any]:
    """The texts of a pair as a model sees them; without a tokenizer, as they were read."""
    if isinstance(item, TokenizedPair) and tokenizer is not None:
        texts = {part: str(tokenizer.decode(getattr(item, f"{part}_ids"))) for part in PARTS}
    else:
        pair = _pair(item)
        values = pair.ids or [_plain(getattr(pair, part)) for part in PARTS]
        texts = {part: str(value) for part, value in zip(PARTS, values, strict=True)}
    return {"row": _pair(item).source_row, **texts}
