"""The pairs of one directory, or those that two have: found by number, id, text or condition, read one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sepo_data.analysis.show.directory import open_directory, shown_name
from sepo_data.analysis.show.pair import find_pair, pair_at
from sepo_data.console.text import shortened
from sepo_data.errors import SepoError
from sepo_data.share import format_share, parse_share
from sepo_data.stages.matched_pairs import match_pairs
from sepo_data.stages.open_shards import check_same_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sepo_data.analysis.show.directory import Directory
    from sepo_data.analysis.show.pair import ShownPair
    from sepo_data.stages.matched_pairs import MatchedPairs

SCALARS = ("margin", "chosen_reward", "chosen_tokens", "rejected_tokens")
"""The columns of all pairs that are in memory: an order needs no list."""


@dataclass(frozen=True, slots=True)
class Shares:
    """The tokens to select of each response, in basis points.

    Attributes:
        chosen: of the highest rewards.
        rejected: of the lowest ones.
        stored: of a selection, its own masks stand until a share is changed.
    """

    chosen: int = 3000
    rejected: int = 3000
    stored: bool = True


@dataclass
class Pairs:
    """The pairs to look at.

    Attributes:
        directories: one, or two.
        matched: of two directories the pairs that both have, in the order of the first.
    """

    directories: Sequence[Directory]
    matched: MatchedPairs | None = None

    @cached_property
    def rows(self) -> list[NDArray[np.int64]]:
        """Of each directory (pairs,) the number of each pair there."""
        if self.matched is None:
            return [np.arange(self.directories[0].rows)]
        places = self.matched.places
        return [
            directory.starts[places[f"file_{number}"].to_numpy()] + places[f"row_{number}"].to_numpy()
            for number, directory in enumerate(self.directories)
        ]

    @cached_property
    def names(self) -> list[str]:
        """The directories' paths as people see them, without the folders that two have in common."""
        parts = [each.path.rstrip("/").split("/") for each in self.directories]
        shared = 0
        while len(parts) > 1 and shared < min(map(len, parts)) - 1 and len({each[shared] for each in parts}) == 1:
            shared += 1
        return [shown_name("/".join(each[shared:])) for each in parts]

    @cached_property
    def scalars(self) -> pl.DataFrame:
        """`SCALARS` of each pair, in the first directory."""
        return pl.concat(self.directories[0].frames(SCALARS))[self.rows[0]]

    def stored_shares(self) -> Shares | None:
        """The shares that the stored masks were made with, where they all are of rule `top` and the first tells."""
        options = self.directories[0].manifest.options
        if not all(each.has_masks for each in self.directories) or options.get("rule") != "top":
            return None
        try:
            return Shares(parse_share(str(options.get("chosen"))), parse_share(str(options.get("rejected"))))
        except ValueError:  # a number of tokens
            return None

    def __len__(self) -> int:
        return len(self.rows[0])

    def read(self, entry: int, shares: Shares, *, copies: int = 1) -> list[ShownPair]:
        """Pair `entry` of `rows`, as each directory has it; the tokens may differ."""
        chosen, rejected = format_share(shares.chosen), format_share(shares.rejected)
        numbers = [int(rows[entry]) for rows in self.rows]
        return [
            pair_at(each, number, chosen=chosen, rejected=rejected, stored=shares.stored, copies=copies)
            for each, number in zip(self.directories, numbers, strict=True)
        ]

    def find(self, pair: str) -> tuple[int, int]:
        """The entry of pair `pair`, a number in the first directory or a `pair_id`, and the rows with that id.

        Raises:
            SepoError: there is no such pair, or the second directory lacks it.
        """
        row, copies = find_pair(self.directories[0], pair)
        entry = int(np.searchsorted(self.rows[0], row))
        if entry < len(self) and self.rows[0][entry] == row:
            return entry, copies
        raise SepoError(
            f"{self.directories[1].folder} has no pair {shortened(pair)!r} of {self.directories[0].folder}",
            f"leave --pair out to see the {len(self):,} pairs that both have",
        )


def open_pairs(folders: Sequence[str | Path], *, verify: bool = True) -> Pairs:
    """Open one directory, or two of which the pairs that both have are looked at.

    Args:
        folders: rewards or selection directories, finished or not.
        verify: compare the hash of each shard with the manifest, once until the file changes.

    Raises:
        SepoError: one is neither, or damaged; two have different tokenizers or share no pair.
    """
    directories = [open_directory(folder, verify=verify) for folder in folders]
    if len(directories) == 1:
        return Pairs(directories)
    check_same_tokenizer({each.name: each.manifest for each in directories})
    return Pairs(
        directories,
        match_pairs([each.shards for each in directories], [each.folder for each in directories]),
    )
