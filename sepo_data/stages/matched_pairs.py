"""Pairs that several datasets share, matched by pair_id and occurrence: copies of a pair in their order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from sepo_data.errors import SepoError
from sepo_data.schemas.stage_names import SIDES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sepo_data.stages.shards import Shard

CHECKED = ("pair_id", *(f"{side}_ids" for side in SIDES))


@dataclass(frozen=True, slots=True, eq=False)
class MatchedPairs:
    """The pairs that all of several datasets have.

    Attributes:
        shards: of each dataset.
        places: a row a matched pair in the order of the first dataset: `pair_id`, `occurrence`, and for dataset n its
            shard `file_n` and the row there, `row_n`.
        rows: number of pairs of each dataset, matched or not.
    """

    shards: Sequence[Sequence[Shard]]
    places: pl.DataFrame
    rows: Sequence[int]

    def __len__(self) -> int:
        return self.places.height

    def frames(self, columns: Sequence[str], places: pl.DataFrame | None = None) -> Iterator[list[pl.DataFrame]]:
        """For each shard of the first dataset its matched pairs; of every dataset a frame, row by row the same pairs.

        In memory are the rows of one shard and of their partners, which are looked up in the mapped files: the
        datasets may be in any order.

        Args:
            columns: to read of every dataset.
            places: some rows of `self.places`, where not all pairs are wanted.

        Raises:
            SepoError: the tokens of a pair differ.
        """
        read = list(dict.fromkeys((*CHECKED, *columns)))
        wanted = self.places if places is None else places
        for _, part in wanted.group_by("file_0", maintain_order=True):
            found = [
                rows_at(shards, part[f"file_{number}"], part[f"row_{number}"], read)
                for number, shards in enumerate(self.shards)
            ]
            check_same_tokens(found)
            yield [frame.select(columns) for frame in found]


def match_pairs(shards: Sequence[Sequence[Shard]], names: Sequence[object]) -> MatchedPairs:
    """Match the pairs of two datasets or more; of several equal ones the first with the first, and so on.

    In memory are the ids of all pairs.

    Args:
        shards: of each dataset.
        names: of the datasets, for the error.

    Raises:
        SepoError: no pair is in all of them.
    """
    indices = [_index(of_one, number) for number, of_one in enumerate(shards)]
    places = indices[0]
    for index in indices[1:]:
        places = places.join(index, on=["pair_id", "occurrence"], maintain_order="left")
    if places.is_empty():
        *others, last = map(str, names)
        raise SepoError(
            f"{', '.join(others)} and {last} share no pair", "compare directories that were scored from the same data"
        )
    return MatchedPairs(shards, places, [index.height for index in indices])


def check_same_tokens(frames: Sequence[pl.DataFrame]) -> None:
    """Raise where the frames, row by row the same pairs with the columns `CHECKED`, have other tokens.

    Raises:
        SepoError: the tokens of a pair differ.
    """
    first = frames[0]
    for other in frames[1:]:
        for side in SIDES:
            if (differs := first[f"{side}_ids"].ne_missing(other[f"{side}_ids"])).any():
                pair = first["pair_id"].filter(differs)[0]
                raise SepoError(
                    f"pair {pair} has other {side} tokens in the two directories, so their rewards cannot be compared",
                    "score both with the same tokenizer, chat template and truncation",
                )


def _index(shards: Sequence[Shard], number: int) -> pl.DataFrame:
    """The place of each pair of dataset `number`, and its `occurrence`, the number of earlier pairs of the same id."""
    parts = [
        shard.frame(["pair_id"]).with_columns(
            pl.lit(file, dtype=pl.UInt32).alias(f"file_{number}"),
            pl.int_range(pl.len(), dtype=pl.UInt32).alias(f"row_{number}"),
        )
        for file, shard in enumerate(shards)
    ]
    return pl.concat(parts).with_columns(occurrence=pl.int_range(pl.len(), dtype=pl.UInt32).over("pair_id"))


def rows_at(shards: Sequence[Shard], files: pl.Series, rows: pl.Series, columns: Sequence[str]) -> pl.DataFrame:
    """The rows at these places, in their order; one shard after the other is mapped.

    Args:
        shards: of a dataset.
        files: (places,) numbers of shards.
        rows: (places,) the row in each of them.
        columns: to read.
    """
    places = pl.DataFrame({"file": files, "row": rows}).with_row_index("place").sort("file", maintain_order=True)
    parts = [
        _taken(shards[file].frame(columns), of_file["row"])
        for (file,), of_file in places.group_by("file", maintain_order=True)
    ]
    found = pl.concat(parts) if parts else shards[0].frame(columns).clear()
    return found if places["place"].is_sorted() else found[places["place"].arg_sort()]


def _taken(frame: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """These rows of a mapped shard; the shard itself, uncopied, where they are all of it in order."""
    complete = rows.equals(pl.int_range(frame.height, dtype=pl.UInt32, eager=True))
    return frame if complete else frame[rows]
