"""The rules that need a number from the whole dataset: a quantile of the rewards, or the cut of a global budget.

Their first pass reads the rewards batch by batch and keeps a few numbers, which go into the manifest.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from sepo_data.errors import SepoError
from sepo_data.schemas.stages import SIDES
from sepo_data.selection.kth_highest import kth_highest
from sepo_data.selection.quota import Amount, finite_number, shares_of_sides, texts_of_sides
from sepo_data.selection.ragged import Ragged, ragged
from sepo_data.selection.rules import Rule, elementwise, signed_rewards
from sepo_data.selection.share import WHOLE, format_share, parse_share
from sepo_data.selection.top_k import mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def threshold(above: str | float = "q70%", below: str | float | None = None) -> Rule:
    """Chosen tokens with a reward above a value, rejected ones with a reward below another; strictly so.

    A value is a number or a quantile of the dataset: q90% is the reward at place floor(90% x (N - 1)) in ascending
    order of the N rewards of that side. `below` is `-above`, or the mirrored quantile, where it is not given.
    Streams: yes, after a pass for a quantile.
    """
    cuts = {"above": _cut("above", above)}
    cuts["below"] = _mirrored(cuts["above"]) if below is None else _cut("below", below)
    arguments = {name: f"q{format_share(cut)}" if isinstance(cut, int) else str(cut) for name, cut in cuts.items()}
    by_side = dict(zip(SIDES, cuts.values(), strict=True))

    def count(values: dict[str, float]) -> Any:  # noqa: ANN401 - a Count, whose alias is for type checkers only
        # The score of a rejected token is its negated reward; float64 holds every float32 and the value as written.
        return lambda side, score: score.list.eval(
            pl.element().cast(pl.Float64) > (values[side] if side == SIDES[0] else -values[side])
        ).list.sum()

    def prepare(frame: pl.LazyFrame, _folder: Path | None) -> Rule:
        found = {side: _quantile(frame, side, cut) if isinstance(cut, int) else cut for side, cut in by_side.items()}
        numbers: dict[str, Any] = dict(zip(cuts, found.values(), strict=True))
        return Rule("threshold", arguments, signed_rewards, count(found), numbers=numbers)

    if any(isinstance(cut, int) for cut in cuts.values()):
        return Rule("threshold", arguments, signed_rewards, count({}), prepare=prepare)
    return Rule("threshold", arguments, signed_rewards, count({side: float(cut) for side, cut in by_side.items()}))


def budget(share: str = "30%", *, chosen: str = "", rejected: str = "") -> Rule:
    """One share of all tokens of a side, wherever they are: responses with strong rewards get more of it.

    Exactly max(rows, floor(share x N)) of the N tokens of a side: the best token of each response, and then the best of
    all others in the dataset; among equals the earlier row, then the earlier token. Streams: yes, after three passes.
    """
    shares = shares_of_sides(share, chosen, rejected)
    arguments = texts_of_sides({side: Amount(basis_points=value) for side, value in shares.items()})

    def prepare(frame: pl.LazyFrame, _folder: Path | None) -> Rule:
        cuts: dict[str, Any] = {side: _budget_cut(frame, side, shares[side]) for side in SIDES}
        return replace(rule, count=lambda side, score: _budget_count(score, cuts[side]), prepare=None, numbers=cuts)

    rule = Rule("budget", arguments, signed_rewards, lambda _side, score: score, prepare=prepare)
    return rule


def _batches(frame: pl.LazyFrame, side: str) -> Iterator[tuple[Ragged[np.float32], NDArray[np.int64]]]:
    """The signed rewards and the source rows of `side`, batch by batch in the order of the dataset."""
    wanted = frame.select(signed_rewards(side).alias("score"), "source_row")
    for batch in wanted.collect_batches(lazy=True, maintain_order=True):
        yield ragged(batch["score"]), batch["source_row"].to_numpy()


def _quantile(frame: pl.LazyFrame, side: str, basis_points: int) -> float:
    """The reward of `side` at that quantile, an element of the dataset."""
    sign = 1.0 if side == SIDES[0] else -1.0
    tokens = sum(len(scores.values) for scores, _ in _batches(frame, side))
    if not tokens:
        raise SepoError("a dataset without tokens has no quantiles", "score a dataset that has pairs")
    place = basis_points * (tokens - 1) // WHOLE
    value, _ = kth_highest(
        lambda: (np.float32(sign) * scores.values for scores, _ in _batches(frame, side)), tokens - place
    )
    return value


def _others(frame: pl.LazyFrame, side: str) -> Iterator[Ragged[np.float32]]:
    """The scores of `side` without the best one of each response, and the source rows."""
    for scores, _ in _batches(frame, side):
        yield _without_best(scores)


def _without_best(scores: Ragged[np.float32]) -> Ragged[np.float32]:
    [best] = mark(scores, [np.ones(len(scores.lengths), np.int64)])
    return Ragged(scores.values[~best], np.concatenate([[0], np.cumsum(scores.sums(~best))]))


def _budget_cut(frame: pl.LazyFrame, side: str, basis_points: int) -> dict[str, Any]:
    """The score above which every token is taken, and the row up to which those equal to it are.

    `cut` is None where the best tokens of the responses are all there is.
    """
    tokens = given = 0
    last = -1
    for scores, rows in _batches(frame, side):
        tokens, given = tokens + len(scores.values), given + int((scores.lengths > 0).sum())
        if len(rows) and (rows[0] <= last or (np.diff(rows) <= 0).any()):
            raise SepoError("source_row does not ascend, so equal rewards have no order", "select without `budget`")
        last = int(rows[-1]) if len(rows) else last
    left = tokens * basis_points // WHOLE - given
    if left <= 0:
        return {"cut": None, "last_row": -1, "of_last_row": 0}
    cut, higher = kth_highest(lambda: (scores.values for scores in _others(frame, side)), left)
    left -= higher
    for scores, rows in _batches(frame, side):
        others = _without_best(scores)
        equal = others.sums(others.values == np.float32(cut))
        if equal.sum() >= left:
            row = int(np.searchsorted(np.cumsum(equal), left))
            return {"cut": cut, "last_row": int(rows[row]), "of_last_row": int(left - equal[:row].sum())}
        left -= int(equal.sum())
    raise RuntimeError("the dataset changed while it was read")


def _budget_count(score: pl.Expr, cut: dict[str, Any]) -> pl.Expr:
    def counts(columns: Sequence[pl.Series]) -> pl.Series:
        scores, rows = ragged(columns[0]), columns[1].to_numpy()
        counts = np.minimum(scores.lengths, 1)
        if cut["cut"] is not None:
            others, value = _without_best(scores), np.float32(cut["cut"])
            equal = others.sums(others.values == value)
            taken = np.where(rows < cut["last_row"], equal, np.where(rows == cut["last_row"], cut["of_last_row"], 0))
            counts = counts + others.sums(others.values > value) + taken
        return pl.Series(counts, dtype=pl.Int64)

    return elementwise(counts, score, pl.col("source_row"), kind=pl.Int64())


def _cut(name: str, text: str | float) -> int | float:
    """A quantile as basis points, or a value as a float."""
    written = str(text).strip()
    if not written.startswith("q"):
        return finite_number(name, written)
    try:
        return parse_share(written.removeprefix("q")) if not re.fullmatch(r"q0(\.0*)?%?", written) else 0
    except ValueError:
        raise SepoError(
            f"{name}={text} is neither a number nor a quantile", f"write {name}=0.1 or {name}=q90%"
        ) from None


def _mirrored(cut: int | float) -> int | float:  # noqa: PYI041 - they mean different things here
    return WHOLE - cut if isinstance(cut, int) else 0.0 - cut  # not -0.0
