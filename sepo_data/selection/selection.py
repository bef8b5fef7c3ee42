"""One selection, a rule with its filters and soft weights; and the masks of several of them from the same rewards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sepo_data.checked import checked
from sepo_data.errors import SepoError
from sepo_data.schemas.stages import SIDES
from sepo_data.selection.filter import Tokens
from sepo_data.selection.matching import matched_mask
from sepo_data.selection.parse import parse_rule, parse_weights
from sepo_data.selection.ragged import Ragged, ragged
from sepo_data.selection.top_k import top_k_mask
from sepo_data.shapes.pairs import SkippedRow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from pydantic import JsonValue

    from sepo_data.selection.filter import Filter
    from sepo_data.selection.rule import Rule
    from sepo_data.selection.soft_weights import SoftWeights
    from sepo_data.selection.token_classes import TokenClasses

    Mask = NDArray[np.bool_]

TOKEN_LISTS = ("ids", "rewards", "oracle_logps", "ref_logps")
"""The lists of a side that have a value for each token."""


@dataclass(frozen=True, init=False)
class Selection:
    """Everything that decides which tokens are selected, and their weights.

    Attributes:
        rule: what is selected; the method by default. May be given as text: "mass(80%)".
        filters: what surrounds the rule; they act in the order of their steps.
        weights: soft weights beside the mask. May be given as text: "softmax(0.1)".
    """

    rule: Rule
    filters: tuple[Filter, ...]
    weights: SoftWeights | None

    @checked()
    def __init__(
        self, rule: Rule | str = "top", filters: Sequence[Filter] = (), weights: SoftWeights | str | None = None
    ) -> None:
        values = {
            "rule": parse_rule(rule) if isinstance(rule, str) else rule,
            "filters": tuple(filters),
            "weights": parse_weights(weights) if isinstance(weights, str) else weights,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check_combination()

    def _check_combination(self) -> None:
        """Raise for filters that contradict each other or the rule."""
        names = [each.name for each in self.filters]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise SepoError(f"the filter {', '.join(sorted(repeated))} is given twice", "give each filter once")
        if not self.rule.skippable and self.narrowing:
            option = self.narrowing[0].name.replace("_", "-")
            raise SepoError(f"--{option} does not go with the rule {self.rule.name}", "leave one of the two out")
        least, most = self.token_bounds
        if most is not None and most < least:
            raise SepoError(f"min_tokens {least} is above max_tokens {most}", "raise the one or lower the other")

    @property
    def narrowing(self) -> tuple[Filter, ...]:
        """The filters that take tokens out of the ranking."""
        return tuple(each for each in self.in_order if each.ranked is not None)

    @property
    def in_order(self) -> list[Filter]:
        """The filters in the order in which they act."""
        return sorted(self.filters, key=lambda each: (each.step, each.name))

    @property
    def token_bounds(self) -> tuple[int, int | None]:
        """The fewest and the most tokens that the rule takes of each response."""
        upper = [each.max_tokens for each in self.filters if each.max_tokens is not None]
        return max((each.min_tokens for each in self.filters), default=1), min(upper, default=None)

    @property
    def widening(self) -> tuple[Filter, ...]:
        """The filters that add to what the rule takes."""
        return tuple(each for each in self.in_order if each.widened is not None)

    @property
    def counted(self) -> Selection:
        """The selection whose numbers of tokens this one has: where filters widen a control, that of the other rule."""
        rule = self.rule.control_of if self.widening else None
        return replace(self, rule=rule) if rule else self

    @property
    def needs_classes(self) -> bool:
        """A filter reads the classes of the vocabulary."""
        return any(each.needs_classes for each in self.filters)

    def options(self) -> dict[str, JsonValue]:
        """The options of the manifest."""
        found = self.rule.options() | {each.name: each.value for each in self.in_order}
        return found | ({"token_weights": str(self.weights)} if self.weights else {})

    def prepared(self, frame: pl.LazyFrame, folder: Path, classes: TokenClasses | None = None) -> Selection:
        """The selection with what its rule needs from the complete `frame`, the rewards in `folder`.

        Args:
            frame: a scan of `folder`.
            folder: a rewards directory.
            classes: of its vocabulary, with `needs_classes`.
        """
        least, most = self.token_bounds
        rule = self.rule.bounded(least, most)
        if rule.prepare is not None and self.narrowing:
            lists = [f"{side}_{name}" for side in SIDES for name in ("ids", "rewards")]
            frame = frame.select("source_row", *lists).map_batches(
                lambda rows: _narrowed(rows, self.narrowing, classes),
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
        return names | ({"source_row"} if self.rule.unusable else set())

    def unusable(self, frame: pl.DataFrame) -> dict[int, SkippedRow]:
        """The rows of a rewards dataset on which the prepared rule cannot be used, by their place in `frame`."""
        found = self.rule.unusable(frame) if self.rule.unusable else {}
        return {place: SkippedRow(frame["source_row"][place], *found[place]) for place in sorted(found)}


def mask_columns(
    frame: pl.DataFrame, selections: Sequence[Selection], classes: TokenClasses | None = None
) -> list[pl.DataFrame]:
    """For each selection the columns that it adds to `frame`: masks, counts and, where it has them, weights.

    Selections that rank by the same scores share one sort.

    Args:
        frame: rows of a rewards dataset with the `columns()` of every selection.
        selections: prepared, so that a row's mask depends on that row alone.
        classes: of the dataset's vocabulary, where a selection has `needs_classes`.
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
    tokens = Tokens(ragged(frame[f"{side}_ids"]), classes)
    added = []
    counted = [each.counted for each in selections]
    taken = _rule_masks(frame, counted, classes, side)
    for selection, other, values in zip(selections, counted, taken, strict=True):
        mask = _widened(selection.widening, tokens.ids.with_values(values), tokens)
        if other is not selection:
            mask = _matched(selection, mask, frame, tokens, side)
        columns = {
            "mask": mask.to_series(f"{side}_mask"),
            "selected": pl.Series(f"{side}_selected", mask.sums().astype(np.int32)),
        }
        if selection.weights is not None:
            weights = selection.weights.of(frame, side, mask.values)
            columns["weights"] = mask.with_values(weights).to_series(f"{side}_weights")
        added.append(columns)
    return added


def _widened(widening: Sequence[Filter], mask: Ragged[np.bool_], tokens: Tokens) -> Ragged[np.bool_]:
    """The mask with what the filters add; nothing is added across the bounds of its lists, the responses or parts."""
    for each in widening:
        if each.widened is not None:
            mask = mask.with_values(each.widened(mask, tokens))
    return mask


def _matched(
    control: Selection, counted: Ragged[np.bool_], frame: pl.DataFrame, tokens: Tokens, side: str
) -> Ragged[np.bool_]:
    """The mask of a control with as many tokens of each response, or of each of its parts, as `counted` has."""
    scores = ragged(frame.select(control.rule.score(side)).to_series())
    ranked = ranked_tokens(tokens, control.narrowing)
    parts = control.rule.parts(tokens.ids) if control.rule.parts else tokens.ids.offsets
    wanted = Ragged(counted.values, parts).sums()
    mask = matched_mask(
        Ragged(scores.values, parts), ranked, wanted, lambda mask: _widened(control.widening, mask, tokens).values
    )
    return counted.with_values(mask)


def _rule_masks(
    frame: pl.DataFrame, selections: Sequence[Selection], classes: TokenClasses | None, side: str
) -> list[Mask]:
    """(tokens,) what the rule of each selection takes; those that rank the same tokens are computed together."""
    masks: dict[int, Mask] = {}
    for narrowing in {each.narrowing for each in selections}:
        members = [index for index, each in enumerate(selections) if each.narrowing == narrowing]
        made = masks_of_rules(_narrowed(frame, narrowing, classes), [selections[index].rule for index in members], side)
        if narrowing:
            ranked = ranked_tokens(Tokens(ragged(frame[f"{side}_ids"]), classes), narrowing)
            made = [_put_back(mask, ranked) for mask in made]
        masks |= dict(zip(members, made, strict=True))
    return [masks[index] for index in range(len(selections))]


def masks_of_rules(frame: pl.DataFrame, rules: Sequence[Rule], side: str) -> list[Mask]:
    """(tokens,) the mask of each rule on `side`: what `Rule.mask` gives; rules with the same score share its sort."""
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
        made = dict(zip(different, top_k_mask(ragged(scored["score"]), list(different.values())), strict=True))
        masks |= {index: made[key] for index, key in keys.items()}
    return [masks[index] for index in range(len(rules))]


def ranked_tokens(tokens: Tokens, narrowing: Sequence[Filter]) -> Mask:
    """(tokens,) the tokens that the rule ranks: those that every filter leaves, or all where none is left."""
    kept = np.ones(len(tokens.ids.values), np.bool_)
    for each in narrowing:
        if each.ranked is not None:
            kept &= each.ranked(tokens)
    ranked: Mask = kept | tokens.ids.per_token(tokens.ids.sums(kept) == 0)
    return ranked


def _narrowed(frame: pl.DataFrame, narrowing: Sequence[Filter], classes: TokenClasses | None) -> pl.DataFrame:
    """The rows with every list of a side shortened to the tokens that the rule ranks."""
    if not narrowing:
        return frame
    for side in SIDES:
        ids = ragged(frame[f"{side}_ids"])
        kept = ranked_tokens(Tokens(ids, classes), narrowing)
        offsets = np.concatenate([[0], np.cumsum(ids.sums(kept))])
        names = [f"{side}_{name}" for name in TOKEN_LISTS if f"{side}_{name}" in frame.columns]
        frame = frame.with_columns(Ragged(ragged(frame[name]).values[kept], offsets).to_series(name) for name in names)
    return frame


def _put_back(mask: Mask, ranked: Mask) -> Mask:
    """The mask of the ranked tokens as one of all tokens."""
    complete = np.zeros(len(ranked), np.bool_)
    complete[ranked] = mask
    return complete
