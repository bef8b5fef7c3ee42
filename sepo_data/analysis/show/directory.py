"""A dataset whose pairs are looked at one at a time: finished shards, mapped, and the tokenizer."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sepo_data.console.text import spelt_out
from sepo_data.schemas.stages import SIDES, Stage
from sepo_data.stages.matched_pairs import rows_at
from sepo_data.stages.open_shards import open_shards
from sepo_data.stages.token_text import load_tokenizer_file
from sepo_data.storage.download import fetched
from sepo_data.storage.location import is_remote, location, public_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from sepo_data.schemas.manifest import Manifest
    from sepo_data.stages.shards import Shard

MAPPED_SHARDS = 8
"""Shards that stay mapped while pairs are paged through."""

LONGEST_NAME = 60
"""Characters of a directory's name on a screen."""


@dataclass
class Directory:
    """A rewards or selection dataset.

    Attributes:
        path: as it was given.
        folder: on this machine.
        manifest: with the records of `shards`.
        shards: the finished ones, in order.
        complete: false where the run that writes the directory has not ended.
    """

    path: str
    folder: Path
    manifest: Manifest
    shards: Sequence[Shard]
    complete: bool
    _mapped: dict[int, pl.DataFrame] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The path as people see it, in one line."""
        return shown_name(self.path)

    @property
    def has_masks(self) -> bool:
        return self.manifest.stage is Stage.SELECTION

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(shards + 1,) the number of the first pair of each shard, and of all pairs."""
        return np.cumsum([0, *(shard.record.rows for shard in self.shards)], dtype=np.int64)

    @property
    def rows(self) -> int:
        return int(self.starts[-1])

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return load_tokenizer_file(self.folder)

    @property
    def note(self) -> str:
        """A sentence where the directory is unfinished, else ""."""
        if self.complete:
            return ""
        shards = f"{len(self.shards):,} finished shard{'s' * (len(self.shards) != 1)}"
        return f"{self.name} is unfinished: these are the {self.rows:,} pairs of {shards}"

    def frames(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The columns of one shard after the other."""
        for shard in self.shards:
            yield shard.frame(columns)

    def row(self, number: int) -> pl.DataFrame:
        """The columns that are shown of pair `number`, in one row; the lists of other pairs are not read."""
        shard = int(np.searchsorted(self.starts, number, "right")) - 1
        if shard not in self._mapped:
            if len(self._mapped) >= MAPPED_SHARDS:
                del self._mapped[next(iter(self._mapped))]
            lists = ("ids", "rewards", "mask") if self.has_masks else ("ids", "rewards")
            of_sides = (f"{side}_{name}" for side in SIDES for name in lists)
            columns = ["pair_id", "prompt_ids", "margin", "oracle_seen", *of_sides]
            self._mapped[shard] = self.shards[shard].frame(columns)
        return self._mapped[shard].slice(number - int(self.starts[shard]), 1)

    def rows_at(self, numbers: NDArray[np.int64], columns: Sequence[str]) -> pl.DataFrame:
        """The columns of these pairs, in their order."""
        shards = np.searchsorted(self.starts, numbers, "right") - 1
        return rows_at(self.shards, pl.Series(shards), pl.Series(numbers - self.starts[shards]), columns)


def shown_name(path: str) -> str:
    """A path as people see it, in one line: of a long one the beginning and the end, since names differ in either."""
    name = spelt_out(path)
    half = LONGEST_NAME // 2
    return name if len(name) <= LONGEST_NAME else f"{name[: half - 3]}...{name[-half:]}"


def open_directory(path: str | Path, *, verify: bool = True) -> Directory:
    """Open a rewards or selection dataset, finished or not; one in a store is copied to this machine.

    Raises:
        SepoError: it holds another stage, has no finished shard, or is damaged.
    """
    found = location(path)
    folder = fetched(found, recursive=True) if is_remote(found) else found
    return Directory(public_name(found) if is_remote(found) else str(path), folder, *open_shards(folder, verify=verify))
