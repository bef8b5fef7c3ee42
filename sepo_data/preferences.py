"""The stream of preference pairs that `sepo oracle` and `sepo score` read."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from schemas.errors import SepoError
from sepo_data.pairs import Pair, SkippedRow
from sepo_data.shapes import BadRow, Shape, detect_shape
from sepo_data.sources import Row, Source, open_source
from sepo_data.suggest import did_you_mean, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SAMPLE_ROWS = 100  # good rows that the shape is told from
SAMPLE_REACH = 1000  # rows among which those are looked for


@dataclass(frozen=True)
class Preferences:
    """Pairs in the order of their rows: one Pair or SkippedRow for every row, always."""

    source: Source
    shape: Shape
    keep: tuple[str, ...]  # columns carried along in Pair.extra
    limit: int | None  # rows, the skipped ones too

    @property
    def rows(self) -> int:
        return self.source.rows if self.limit is None else min(self.source.rows, self.limit)

    def __iter__(self) -> Iterator[Pair | SkippedRow]:
        return self.slice(0, self.rows)

    def slice(self, start: int, stop: int) -> Iterator[Pair | SkippedRow]:
        """What becomes of the rows from `start` to `stop`, as many of them as there are."""
        for row in self.source.slice(start, min(stop, self.rows)):
            yield self._read(row)

    def _read(self, row: Row) -> Pair | SkippedRow:
        if row.value is None:
            return SkippedRow(row.number, row.problem, row.detail)
        try:
            return self.shape.to_pair(row.number, row.value, self.keep)
        except BadRow as bad:
            return SkippedRow(row.number, bad.reason, f"{row.detail}: {bad.detail}" if row.detail else bad.detail)


def read_preferences(
    dataset: str,
    *,
    split: str | None = None,
    config: str | None = None,
    keep: Sequence[str] = (),
    limit: int | None = None,
) -> Preferences:
    """Open a dataset of preference pairs and tell its shape."""
    source = open_source(dataset, split=split, config=config)
    _refuse_unknown(keep, source)
    good = (row.value for row in source.slice(0, min(SAMPLE_REACH, source.rows)) if row.value is not None)
    shape = detect_shape(source.columns, list(islice(good, SAMPLE_ROWS)))
    return Preferences(source, shape, tuple(dict.fromkeys(keep)), limit)


def _refuse_unknown(keep: Sequence[str], source: Source) -> None:
    unknown = [column for column in keep if column not in source.columns]
    if unknown:
        guesses = [f"for {column}, {guess}" for column in unknown if (guess := did_you_mean(column, source.columns))]
        present = f"{source.name} has no column {listed(unknown)}; it has {listed(source.columns)}"
        raise SepoError(present, "; ".join(guesses))
