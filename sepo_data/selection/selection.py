"""A selection: a rule, what is done around it, and soft weights; and how several are made of the same rewards."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sepo_data.errors import SepoError
from sepo_data.schemas.stages import SIDES
from sepo_data.selection.filters import Filters, kept_tokens
from sepo_data.selection.ragged import Ragged, ragged
from sepo_data.selection.rules import Rule, top
from sepo_data.selection.top_k import mark

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from pydantic import JsonValue

    from sepo_data.selection.soft_weights import SoftWeights
    from sepo_data.selection.token_classes import TokenClasses

    Mask = NDArray[np.bool_]

ALIGNED = ("ids", "rewards", "oracle_logps", "ref_logps")
"""The lists of a side that have a value for each token."""


@dataclass(frozen=True)
class Selection:
    """Everything that decides which tokens are selected, and how much they count."""

    rule: Rule = field(default_factory=top)
    filters: Filters = field(default_factory=Filters)
    weights: SoftWeights | None = None

    def __post_init__(self) -> None:
        if self.rule.name == "span" and self.filters.skip:
            raise SepoError("--skip does not go with the rule span", "a span says itself what it covers")

    def options(self) -> dict[str, JsonValue]:
        """What the manifest records."""
        found = {**self.rule.options(), **self.filters.options()}
        return found | ({"weights": str(self.weights)} if self.weights else {})

    def prepared(self, frame: pl.LazyFrame, folder: Path, classes: TokenClasses | None = None) -> Selection:
        """The selection with what its rule needs from the whole of `frame`, the rewards in `folder`.

        Args:
            frame: a scan of `folder`.
            folder: a rewards directory.
            classes: of its vocabulary, where `filters.needs_texts`.
        """
        rule = replace(self.rule, min_tokens=self.filters.min_tokens, max_tokens=self.filters.max_tokens)
        if rule.prepare is not None and self.filters.skip:
            lists = [f"{side}_{name}" for side in SIDES for name in ("ids", "rewards")]
            frame = frame.select("source_row", *lists).map_batches(
                lambda rows: _without_skipped(rows, self.filters.skip, classes),
                streamable=True,
                projection_pushdown=False,  # the ids are needed whatever is asked for
            )
        return replace(self, rule=rule.prepared(frame, folder))

    def columns(self) -> set[str]:
        """The columns of a rewards dataset that the prepared selection reads."""
        names = {f"{side}_{name}" for side in SIDES for name in ("ids", "rewards")}
        for side in SIDES:
            names |= set(self.rule.mask(side).meta.root_names())
            if self.weights is not None:
                names |= {f"{side}_oracle_logps", f"{side}_ref_logps"}
        return names


def mask_columns(
    frame: pl.DataFrame, selections: Sequence[Selection], classes: TokenClasses | None = None
) -> list[pl.DataFrame]:
    """For each selection what it adds to `frame`: the masks, the counts and, where it has them, the weights.

    Selections that rank by the same scores share one sort.

    Args:
        frame: rows of a rewards dataset with the `columns()` of every selection.
        selections: prepared, so that a row's mask depends on that row alone.
        classes: of the dataset's vocabulary, where `Filters.needs_texts`.
    """
    # One side after the other: two threads would take the interpreter's lock from each other at every sorted response
    # (measured: 112M tokens/s with two, 208M with one).
    sides = [_side_columns(frame, selections, classes, side) for side in SIDES]
    return [
        pl.DataFrame([side[index][name] for name in sides[0][index] for side in sides])
        for index in range(len(selections))
    ]


def _side_columns(
    frame: pl.DataFrame, selections: Sequence[Selection], classes: TokenClasses | None, side: str
) -> list[dict[str, pl.Series]]:
    """For each selection its columns of `side`, by the last part of their names."""
    ids = ragged(frame[f"{side}_ids"])
    added = []
    for selection, mask in zip(selections, _rule_masks(frame, selections, classes, side), strict=True):
        marks = ids.with_values(selection.filters.around(ids.with_values(mask), ids.values, classes))
        columns = {
            "mask": marks.to_series(f"{side}_mask"),
            "selected": pl.Series(f"{side}_selected", marks.sums().astype(np.int32)),
        }
        if selection.weights is not None:
            weights = selection.weights.of(frame, side, marks.values)
            columns["weights"] = marks.with_values(weights).to_series(f"{side}_weights")
        added.append(columns)
    return added


def _rule_masks(
    frame: pl.DataFrame, selections: Sequence[Selection], classes: TokenClasses | None, side: str
) -> list[Mask]:
    """(tokens,) what the rule of each selection takes; those that see the same tokens are made together."""
    masks: dict[int, Mask] = {}
    for skip in {each.filters.skip for each in selections}:
        members = [index for index, each in enumerate(selections) if each.filters.skip == skip]
        seen = _without_skipped(frame, skip, classes)
        made = marks_of_rules(seen, [selections[index].rule for index in members], side)
        if skip and classes is not None:
            kept = kept_tokens(ragged(frame[f"{side}_ids"]), skip, classes)
            made = [_put_back(mask, kept) for mask in made]
        masks |= dict(zip(members, made, strict=True))
    return [masks[index] for index in range(len(selections))]


def marks_of_rules(frame: pl.DataFrame, rules: Sequence[Rule], side: str) -> list[Mask]:
    """(tokens,) the mask of each rule on `side`; rules with the same score share its sort."""
    groups: list[tuple[pl.Expr, list[int]]] = []
    for index, rule in enumerate(rules):
        score = rule.score(side)
        known = next((members for other, members in groups if other.meta.eq(score)), None)
        if known is None:
            groups.append((score, [index]))
        else:
            known.append(index)
    masks: dict[int, Mask] = {}
    for score, members in groups:
        scored = frame.with_columns(score.alias("score"))
        counts = scored.select(rules[index].bounded_count(side, pl.col("score")).alias(str(index)) for index in members)
        # In a grid many rules take the same number of tokens of this side.
        keys = {index: counts[str(index)].to_numpy().tobytes() for index in members}
        different = {key: np.frombuffer(key, np.int64) for key in keys.values()}
        made = dict(zip(different, mark(ragged(scored["score"]), list(different.values())), strict=True))
        masks |= {index: made[key] for index, key in keys.items()}
    return [masks[index] for index in range(len(rules))]


def _without_skipped(frame: pl.DataFrame, skip: tuple[str, ...], classes: TokenClasses | None) -> pl.DataFrame:
    """The rows with every list of a side shortened to the tokens that `skip` leaves."""
    if not skip:
        return frame
    if classes is None:
        raise SepoError("--skip needs the texts of the tokens", "give the classes of the vocabulary")
    for side in SIDES:
        ids = ragged(frame[f"{side}_ids"])
        kept = kept_tokens(ids, skip, classes)
        offsets = np.concatenate([[0], np.cumsum(ids.sums(kept))])
        names = [f"{side}_{name}" for name in ALIGNED if f"{side}_{name}" in frame.columns]
        frame = frame.with_columns(Ragged(ragged(frame[name]).values[kept], offsets).to_series(name) for name in names)
    return frame


def _put_back(mask: Mask, kept: Mask) -> Mask:
    """The mask of the kept tokens as one of all tokens."""
    whole = np.zeros(len(kept), np.bool_)
    whole[kept] = mask
    return whole
