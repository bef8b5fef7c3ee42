"""Preference pairs with the tokenizer and the limits that turn their rows into token ids."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError
from sepo_data.schemas.manifest import InputRecord
from sepo_data.shapes.pairs import Pair, SkippedRow
from sepo_data.tokenization.prefetch import ReadAhead
from sepo_data.tokenization.tokenize import TokenizedPair, Truncate, tokenize_pairs

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from transformers import PreTrainedTokenizerBase

    from sepo_data.preferences.preferences import Preferences
    from sepo_data.tokenization.prefetch import Batch

CHUNK = 1000
"""Rows that are tokenized at a time where all of them are wanted."""

WORKERS = 4
"""Processes that read ahead at most; each needs 150 MB of memory, and the rows that it reads."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A dataset, and how it is tokenized. It can be pickled, and imports no torch where that is undone."""

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

    def pairs(self, start: int, stop: int, *, only: frozenset[int] | None = None) -> Batch:
        """The usable pairs among the input rows `start` to `stop` (those in `only`), and the rows set aside.

        A row of several pairs can be among both.
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

    def ahead(
        self,
        ranges: Sequence[tuple[int, int]],
        *,
        only: frozenset[int] | None = None,
        workers: int = 1,
        progress: Progress = SILENT,
    ) -> ReadAhead:
        """`pairs(start, stop)` of `ranges`, those that come next read while the caller works on the last one.

        One worker is enough for a caller who is busy meanwhile. One who only waits for the pairs may allow more: as
        reading in place keeps two cores busy, there is one for every two cores then, and none on fewer than four.
        """
        if workers > 1:
            doubles = (os.cpu_count() or 1) // 2
            workers = min(workers, WORKERS, doubles) if doubles > 1 else 0
        return ReadAhead(partial(self.pairs, only=only), ranges, workers=workers, progress=progress)

    def chunks(self, *, only: frozenset[int] | None = None) -> Generator[Batch]:
        """`pairs` of all rows, a chunk at a time, for a caller who does little else meanwhile."""
        rows = self.preferences.rows
        ranges = [(start, min(start + CHUNK, rows)) for start in range(0, rows, CHUNK)]
        with self.ahead(ranges, only=only, workers=WORKERS) as ahead:
            for start, stop in ranges:
                yield ahead.pairs(start, stop)

    def all_pairs(self, *, only: frozenset[int] | None = None) -> Batch:
        """Every usable pair among the rows in `only`, and every row set aside; raises where no pair is usable."""
        pairs: list[TokenizedPair] = []
        skipped: list[SkippedRow] = []
        for some, others in self.chunks(only=only):
            pairs += some
            skipped += others
        if not pairs:
            raise self._nothing(skipped, self.preferences.rows if only is None else len(only))
        return pairs, skipped

    def sample(self, count: int | None = None, *, only: frozenset[int] | None = None) -> list[TokenizedPair]:
        """The first `count` usable pairs among the rows in `only`, or all of them; raises where there is none."""
        if count is None:
            return self.all_pairs(only=only)[0]
        pairs: list[TokenizedPair] = []
        skipped: list[SkippedRow] = []
        start, step = 0, min(count, CHUNK)
        while start < self.preferences.rows and len(pairs) < count:
            some, others = self.pairs(start, start + step, only=only)
            pairs += some
            skipped += others
            # Growing, so that a few pairs cost no chunk, and many bad rows before them no slice each.
            start, step = start + step, min(2 * step, CHUNK)
        if not pairs:
            raise self._nothing(skipped, self.preferences.rows if only is None else len(only))
        return pairs[:count]

    def _nothing(self, skipped: Iterable[SkippedRow], rows: int) -> SepoError:
        reasons = Counter(row.reason for row in skipped)
        counted = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
        return SepoError(
            f"no pair of {rows:,} rows of {self.preferences.source.name} can be used: {counted}",
            "docs/datasets.md explains the reasons; --max-length and --truncate decide about long ones",
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
