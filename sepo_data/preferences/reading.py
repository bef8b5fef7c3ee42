"""The reading options of a dataset of preference pairs, in one value."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sepo_data.checked import at_least, check_fields, path_text
from sepo_data.errors import SepoError
from sepo_data.preferences.holdout import HoldoutSize, parse_holdout
from sepo_data.shapes.pairs import PairChoice

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import JsonValue


@dataclass(frozen=True)
class Reading:
    """A dataset or a mixture, and the options of reading it. All of them decide which pairs come out, and their order.

    Attributes:
        dataset: anything that `open_source` reads; "" for a mixture.
        mix: names and weights of the parts of a mixture.
        split: of the dataset, or of every part.
        subset: configuration of a Hub dataset that has several.
        revision: of a Hub dataset: a branch, a tag or a commit.
        query: the SQL that reads a database.
        delimiter: the character between the fields of CSV files, or its name: `comma`, `tab`, `semicolon` or `pipe`.
        streaming: read a Hub dataset row by row, without downloading its files first.
        columns: role to column, for columns that are not called like their role: `{"chosen": "response_j"}`.
        ignore: columns that are no context, and are not read; `<image>` for marks of pictures in texts.
        pairs_from_ranking: the pairs that a row of ranked responses gives.
        keep_columns: side columns of the input to carry through.
        limit: the number of rows to read, skipped ones included.
        shuffle: read the rows in a random order; of a mixture, those of each part.
        seed: of that order.
        dedupe: skip pairs that repeat an earlier one.
        holdout: keep about this many pairs (`2000`) or this share of them (`"5%"`, `0.05`) out of training, complete
            prompts only.

    Raises:
        SepoError: `limit` or `holdout` makes no sense.
    """

    dataset: str = ""
    mix: tuple[tuple[str, float], ...] = ()
    split: str | None = None
    subset: str | None = None
    revision: str | None = None
    query: str | None = None
    delimiter: str | None = None
    streaming: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    pairs_from_ranking: PairChoice = "best-worst"
    keep_columns: tuple[str, ...] = ()
    limit: int | None = None
    shuffle: bool = False
    seed: int = 0
    dedupe: bool = False
    holdout: float | str | HoldoutSize = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "dataset", path_text(self.dataset))
        check_fields(self, pairs_from_ranking=PairChoice, seed=at_least(0))
        if self.limit is not None and self.limit < 1:
            raise SepoError(f"a limit of {self.limit} rows leaves nothing to read", "choose 1 or more, or no limit")
        try:
            parse_holdout(self.holdout)
        except ValueError as error:
            raise SepoError(f"holdout: {error}") from None

    @property
    def holdout_size(self) -> HoldoutSize:
        """The number or share of pairs to hold out; false if none."""
        return parse_holdout(self.holdout)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the datasets that are read."""
        return tuple(name for name, _ in self.mix) or (self.dataset,)

    def in_any_order(self) -> Reading:
        """The same rows for a caller to whom their order does not matter: shuffling all of them is left out."""
        return replace(self, shuffle=False) if self.limit is None and not self.mix else self

    def plan(self) -> dict[str, JsonValue]:
        """The options in a manifest's plan: those that the input's fingerprint does not cover, if they are set."""
        asked: dict[str, JsonValue] = {"limit": self.limit}
        if self.columns:
            asked["columns"] = [f"{role}={column}" for role, column in sorted(self.columns.items())]
        if self.delimiter is not None:
            asked["delimiter"] = self.delimiter
        if self.ignore:
            asked["ignore"] = [*sorted(self.ignore)]
        if self.pairs_from_ranking != "best-worst":
            asked["pairs_from_ranking"] = self.pairs_from_ranking
        if self.shuffle:
            asked |= {"shuffle": True, "seed": self.seed}
        if self.dedupe:
            asked["dedupe"] = True
        if self.holdout_size:
            asked["holdout"] = self.holdout_size.option
        return asked


def as_reading(reading: Reading | str | Path) -> Reading:
    """A reading, or the name of a dataset with default options."""
    return reading if isinstance(reading, Reading) else Reading(path_text(reading))
