"""A preference dataset with the tokenizer and the limits that turn its rows into token ids."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.schemas.manifest import InputRecord
from sepo_data.shapes.pairs import Pair, SkippedRow
from sepo_data.tokenization.prefetch import Prefetcher
from sepo_data.tokenization.template_date import OPTION, template_date
from sepo_data.tokenization.tokenize import TokenizedPair, tokenize_pairs

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from transformers import PreTrainedTokenizerBase

    from sepo_data.preferences.preferences import Preferences
    from sepo_data.preferences.skipped import Truncate
    from sepo_data.tokenization.prefetch import Batch

CHUNK_ROWS = 1000
"""Rows that are tokenized at a time when all of them are wanted."""


@dataclass(frozen=True, slots=True)
class TokenizedDataset:
    """A dataset, its tokenizer and its limits. It can be pickled; unpickling imports no torch.

    Attributes:
        preferences: the dataset.
        tokenizer: any fast Hugging Face tokenizer.
        max_length: tokens of prompt and one response together.
        truncate: the part of longer pairs that is cut; None: they are skipped.
        embeddings: token ids that the model embeds; a higher id is an error.
    """

    preferences: Preferences
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    truncate: Truncate | None
    embeddings: int

    @property
    def input(self) -> InputRecord:
        source = self.preferences.source
        return InputRecord(
            name=source.name,
            fingerprint=source.fingerprint,
            split=source.split,
            shape=self.preferences.shape.name,
            rows=self.preferences.rows,
        )

    @property
    def template_plan(self) -> dict[str, str]:
        """The date that the chat template prints, as an option of a manifest; nothing where no pair depends on it."""
        shown = template_date(self.tokenizer) if self.preferences.shape.conversational else None
        return {} if shown is None else {OPTION: shown}

    def pairs(self, start: int, stop: int, *, only: frozenset[int] | None = None) -> Batch:
        """The usable pairs among the input rows `start` to `stop` (those in `only`), and the skipped rows.

        A row of several pairs can be in both lists.
        """
        rows = self.preferences.slice(start, min(stop, self.preferences.rows))
        wanted = [row for row in rows if only is None or _number(row) in only]
        tokenized = tokenize_pairs(
            [row for row in wanted if isinstance(row, Pair)],
            self.tokenizer,
            max_length=self.max_length,
            truncate=self.truncate,
        )
        skipped = [row for row in (*wanted, *tokenized) if isinstance(row, SkippedRow)]
        pairs = [item for item in tokenized if isinstance(item, TokenizedPair)]
        for item in pairs:
            self._check_embedded(item)
        return pairs, sorted(skipped, key=_number)

    def prefetch(self, ranges: Sequence[tuple[int, int]], *, only: frozenset[int] | None = None) -> Prefetcher:
        """`pairs(start, stop)` of `ranges`, with the next range read while the caller works on the last one."""
        return Prefetcher(partial(self.pairs, only=only), ranges)

    def chunks(self, *, only: frozenset[int] | None = None) -> Generator[Batch]:
        """`pairs` of all rows, a chunk at a time."""
        rows = self.preferences.rows
        for start in range(0, rows, CHUNK_ROWS):
            yield self.pairs(start, start + CHUNK_ROWS, only=only)

    def all_pairs(self, *, only: frozenset[int] | None = None) -> Batch:
        """Every usable pair among the rows in `only`, and every skipped row; raises if no pair is usable."""
        pairs: list[TokenizedPair] = []
        skipped: list[SkippedRow] = []
        for some, others in self.chunks(only=only):
            pairs += some
            skipped += others
        if not pairs:
            raise self._no_pairs(skipped, self.preferences.rows if only is None else len(only))
        return pairs, skipped

    def sample(self, count: int | None = None, *, only: frozenset[int] | None = None) -> list[TokenizedPair]:
        """The first `count` usable pairs among the rows in `only`, or all of them; raises if there is none."""
        if count is None:
            return self.all_pairs(only=only)[0]
        pairs: list[TokenizedPair] = []
        skipped: list[SkippedRow] = []
        start, step = 0, min(count, CHUNK_ROWS)
        while start < self.preferences.rows and len(pairs) < count:
            some, others = self.pairs(start, start + step, only=only)
            pairs += some
            skipped += others
            # Growing, so that a few pairs cost no chunk, and many skipped rows before them no slice each.
            start, step = start + step, min(2 * step, CHUNK_ROWS)
        if not pairs:
            raise self._no_pairs(skipped, self.preferences.rows if only is None else len(only))
        return pairs[:count]

    def _no_pairs(self, skipped: Iterable[SkippedRow], rows: int) -> SepoError:
        reasons = Counter(row.reason for row in skipped)
        counted = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
        return SepoError(
            f"no pair of {rows:,} rows of {self.preferences.source.name} can be used: {counted}",
            "docs/datasets.md explains the reasons; --max-length and --truncate decide about long pairs",
        )

    def _check_embedded(self, item: TokenizedPair) -> None:
        highest = max(map(max, (item.prompt_ids, item.chosen_ids, item.rejected_ids)))
        if highest >= self.embeddings:
            token = self.tokenizer.convert_ids_to_tokens(highest)
            raise SepoError(
                f"row {item.pair.source_row} has the token {token!r} with id {highest}, but the model embeds only "
                f"{self.embeddings:,} tokens",
                "the tokenizer was extended, the model was not: resize_token_embeddings(len(tokenizer)) and save it",
            )


def _number(row: Pair | SkippedRow) -> int:
    return row.source_row if isinstance(row, Pair) else row.row
