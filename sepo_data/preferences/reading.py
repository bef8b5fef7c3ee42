"""How a dataset of preference pairs is read: what a command says about its input, in one value."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

PairChoice = Literal["best-worst", "all", "adjacent"]
"""Which pairs a row of ranked responses gives."""


@dataclass(frozen=True)
class Reading:
    """What is read, and how. All of it decides which pairs come out, and in which order.

    Attributes:
        dataset: anything `open_source` reads; "" where there is only a mixture.
        mix: names and weights of the parts of a mixture.
        split: of the dataset, or of every part.
        subset: configuration of a Hub dataset that has several.
        revision: of a Hub dataset: a branch, a tag or a commit.
        query: the SQL that reads a database.
        streaming: read a Hub dataset row by row, without downloading its files first.
        columns: which column plays a role whose name it does not have: `{"chosen": "response_j"}`.
        pairs: which pairs a row of ranked responses gives.
        keep: side columns of the input to carry through.
        limit: read only so many rows, the bad ones too.
        shuffle: read the rows in a random order; of a mixture, those of each part.
        seed: of that order.
        dedupe: set aside a pair that was there before.
        holdout: keep about so many pairs out of training, whole prompts only.
    """

    dataset: str = ""
    mix: tuple[tuple[str, float], ...] = ()
    split: str | None = None
    subset: str | None = None
    revision: str | None = None
    query: str | None = None
    streaming: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    pairs: PairChoice = "best-worst"
    keep: tuple[str, ...] = ()
    limit: int | None = None
    shuffle: bool = False
    seed: int = 0
    dedupe: bool = False
    holdout: int = 0

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise SepoError(f"a limit of {self.limit} rows leaves nothing to read", "choose 1 or more, or no limit")
        if self.holdout < 0:
            raise SepoError(f"{self.holdout} pairs cannot be held out", "choose 0 or more")

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the datasets that are read."""
        return tuple(name for name, _ in self.mix) or (self.dataset,)

    def in_any_order(self) -> Reading:
        """The same rows for somebody to whom their order does not matter: shuffling all of them is left out."""
        return replace(self, shuffle=False) if self.limit is None and not self.mix else self

    def plan(self) -> dict[str, JsonValue]:
        """What a manifest's plan holds of it: what the input's fingerprint does not say, where it was asked for."""
        asked: dict[str, JsonValue] = {"limit": self.limit}
        if self.columns:
            asked["columns"] = [f"{role}={column}" for role, column in sorted(self.columns.items())]
        if self.pairs != "best-worst":
            asked["pairs"] = self.pairs
        if self.shuffle:
            asked |= {"shuffle": True, "seed": self.seed}
        if self.dedupe:
            asked["dedupe"] = True
        if self.holdout:
            asked["holdout"] = self.holdout
        return asked


def as_reading(reading: Reading | str) -> Reading:
    """A dataset's name alone is read without further ado."""
    return Reading(reading) if isinstance(reading, str) else reading
