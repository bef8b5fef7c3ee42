"""Pairs that the page shows: all of them, or some that are spread evenly over the rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import polars as pl

from sepo_data.stages.matched_pairs import check_same_tokens, match_pairs, rows_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sepo_data.report.source import Source


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """The pairs that all sources have.

    Attributes:
        table: a row a pair in the order of the first source; for source n its shard `file_n` and the row there,
            `row_n`.
    """

    sources: Sequence[Source]
    table: pl.DataFrame

    def __len__(self) -> int:
        return self.table.height

    def rows(self, number: int) -> pl.Series:
        """(pairs,) the row of each pair in source `number`, counted over its shards: `sepo show --pair` takes it."""
        before = [0, *accumulate(shard.record.rows for shard in self.sources[number].shards)]
        starts = pl.Series(before[:-1], dtype=pl.Int64)
        return starts.gather(self.table[f"file_{number}"]) + self.table[f"row_{number}"]

    def sampled(self, count: int) -> Places:
        """At most `count` pairs, as far from one another as they can be: the same ones whenever it is called."""
        total = len(self)
        if count >= total:
            return self
        return Places(self.sources, self.table[[place * total // count for place in range(count)]])

    def first_frame(self, columns: Sequence[str]) -> pl.DataFrame:
        """These columns of the pairs in the first source."""
        return rows_at(self.sources[0].shards, self.table["file_0"], self.table["row_0"], columns)

    def frames(self, columns: Sequence[Sequence[str]]) -> list[pl.DataFrame]:
        """Of every source a frame with its `columns`, row by row the same pairs.

        Raises:
            SepoError: the tokens of a pair differ.
        """
        found = [
            rows_at(source.shards, self.table[f"file_{number}"], self.table[f"row_{number}"], of_one)
            for number, (source, of_one) in enumerate(zip(self.sources, columns, strict=True))
        ]
        check_same_tokens(found)
        return found


def find_places(sources: Sequence[Source]) -> Places:
    """Every pair that all of `sources` have.

    Raises:
        SepoError: there is none.
    """
    if len(sources) > 1:
        matched = match_pairs([source.shards for source in sources], [source.folder for source in sources])
        return Places(sources, matched.places)
    parts = [
        pl.DataFrame({"row_0": pl.int_range(shard.record.rows, dtype=pl.UInt32, eager=True)}).with_columns(
            file_0=pl.lit(number, dtype=pl.UInt32)
        )
        for number, shard in enumerate(sources[0].shards)
    ]
    return Places(sources, pl.concat(parts))
