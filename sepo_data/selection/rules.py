"""The rules of selection: what to rank the tokens of a response by, and how many of them to take.

On the chosen side a high reward is good, on the rejected side a low one; `signed_rewards` turns both into "high is to
be selected". A rule is a score, a list of numbers of each response, and a count: the tokens with the highest scores are
taken, exactly so many, the earliest first among equals. No response is left without a token: where a rule would take
none, it takes the one with the highest score.

`top("30%").mask("chosen")` is a Polars expression over the columns of a rewards dataset. Rules that need a number from
the whole dataset get it from `Rule.prepared`, which reads the columns it needs batch by batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sepo_data.errors import SepoError
from sepo_data.schemas.stages import SIDES
from sepo_data.selection.quota import Amount, amounts_of_sides, shares_of_sides, texts_of_sides
from sepo_data.selection.ragged import ragged
from sepo_data.selection.share import WHOLE
from sepo_data.selection.top_k import highest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from pydantic import JsonValue

    Score = Callable[[str], pl.Expr]
    Count = Callable[[str, pl.Expr], pl.Expr]

FLOATS = pl.List(pl.Float32)
CERTAIN = np.float32(np.inf)
"""The score of a token that a rule takes in any case; there are `certain` of them."""


@dataclass(frozen=True)
class Rule:
    """What to rank by and how many: `score(side)` is a list of numbers a row, `count(side, score)` a number a row."""

    name: str
    arguments: dict[str, str]
    score: Score
    count: Count
    prepare: Callable[[pl.LazyFrame, Path | None], Rule] | None = None
    numbers: dict[str, JsonValue] = field(default_factory=dict)
    """What `prepare` found in the dataset."""

    min_tokens: int = 1
    max_tokens: int | None = None

    def mask(self, side: str) -> pl.Expr:
        """The selected tokens of `side` as a list of booleans, aligned with its rewards."""
        return highest(self.score(side), self.bounded_count(side, self.score(side)))

    def bounded_count(self, side: str, score: pl.Expr) -> pl.Expr:
        """How many tokens of each response the rule takes within `min_tokens` and `max_tokens`."""
        if self.prepare is not None:
            raise SepoError(f"{self} needs a look at the whole dataset", "use rule.prepared(scan(folder), folder)")
        return self.count(side, score).cast(pl.Int64).clip(self.min_tokens, self.max_tokens)

    def prepared(self, frame: pl.LazyFrame, folder: Path | None = None) -> Rule:
        """The rule with what it needs from the whole of `frame`, out of core; itself where it needs nothing."""
        if self.prepare is None:
            return self
        return replace(self.prepare(frame, folder), min_tokens=self.min_tokens, max_tokens=self.max_tokens)

    def options(self) -> dict[str, JsonValue]:
        """What the manifest records."""
        return {"rule": self.name, **self.arguments}

    def __str__(self) -> str:
        """The rule as `parse_rule` reads it."""
        inside = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.name}({inside})" if inside else self.name


def signed_rewards(side: str) -> pl.Expr:
    """The rewards of `side` with the sign that makes high ones good: as they are on chosen, negated on rejected."""
    rewards = pl.col(f"{side}_rewards")
    return rewards if side == SIDES[0] else rewards.list.eval(-pl.element())


def lengths(side: str) -> pl.Expr:
    """How many tokens each response of `side` has."""
    return pl.col(f"{side}_rewards").list.len()


def certain(_side: str, score: pl.Expr) -> pl.Expr:
    """How many tokens of each response have the score `CERTAIN`."""
    return score.list.eval(pl.element().is_infinite()).list.sum()


def top(share: str = "30%", *, chosen: str = "", rejected: str = "") -> Rule:
    """The method: the highest rewards of chosen, the lowest of rejected; a share of each response, or so many tokens.

    The indicator I(y_i) of SePO (arXiv 2408.13518). Streams: yes.
    """
    amounts = amounts_of_sides(share, chosen, rejected)
    return Rule("top", texts_of_sides(amounts), signed_rewards, quota(amounts))


def mass(share: str = "80%", *, chosen: str = "", rejected: str = "") -> Rule:
    """The smallest set of tokens that carries a share of the response's absolute reward.

    So the tokens with the highest absolute rewards, whatever their sign; a response whose reward sits in a few tokens
    gives few. Sums in float64 from the highest down. Streams: yes.
    """
    shares = shares_of_sides(share, chosen, rejected)

    def count(side: str, score: pl.Expr) -> pl.Expr:
        def counts(columns: Sequence[pl.Series]) -> pl.Series:
            scores = ragged(columns[0])
            bounds = zip(scores.offsets[:-1].tolist(), scores.offsets[1:].tolist(), strict=True)
            return pl.Series(
                [_carrying(scores.values[start:end], shares[side]) for start, end in bounds], dtype=pl.Int64
            )

        return elementwise(counts, score, kind=pl.Int64())

    arguments = texts_of_sides({side: Amount(basis_points=value) for side, value in shares.items()})
    return Rule("mass", arguments, lambda side: pl.col(f"{side}_rewards").list.eval(pl.element().abs()), count)


def own(*, chosen: pl.Expr, rejected: pl.Expr, name: str = "") -> Rule:
    """Your own rule: for each side an expression over the columns that gives a list of booleans.

    Where it marks nothing, or fewer than `min_tokens`, the best rewards fill up. Streams: as the expressions do.

    Args:
        chosen: the expression of the chosen side.
        rejected: that of the rejected side.
        name: tells this rule from others in the manifest; needed where an expression runs a Python function, which
            looks like any other.
    """
    expressions = dict(zip(SIDES, (chosen, rejected), strict=True))
    texts = {side: str(expression) for side, expression in expressions.items()}
    if not name and any("python_udf" in text for text in texts.values()):
        raise SepoError(
            "an expression with a Python function cannot be told from one with another function",
            'name it: own(..., name="rare words, version 1")',
        )

    def score(side: str) -> pl.Expr:
        def scores(columns: Sequence[pl.Series]) -> pl.Series:
            mask, rewards = ragged(columns[0]), ragged(columns[1])
            if mask.values.dtype != np.bool_ or not np.array_equal(mask.offsets, rewards.offsets):
                raise SepoError(
                    f"the expression for {side} gives {columns[0].dtype}, not a boolean for each token",
                    f"it has to be as long as {side}_rewards in every row",
                )
            return rewards.with_values(np.where(mask.values, CERTAIN, rewards.values)).to_series()

        return elementwise(scores, expressions[side], signed_rewards(side))

    return Rule("own", texts | ({"name": name} if name else {}), score, certain)


def quota(amounts: dict[str, Amount]) -> Count:
    """The count of a rule that takes `amounts` of each side."""
    return lambda side, _score: amounts[side].of(lengths(side))


def elementwise(
    function: Callable[[Sequence[pl.Series]], pl.Series], *columns: pl.Expr, kind: pl.DataType = FLOATS
) -> pl.Expr:
    """`function` of whole columns, whose result in a row depends on that row alone: so it streams."""
    return pl.map_batches(columns, function, return_dtype=kind, is_elementwise=True)


def _carrying(values: NDArray[np.float32], basis_points: int) -> int:
    """How many of the highest `values` it takes to carry a share of their sum; none is negative."""
    if not len(values):
        return 0
    carried = np.cumsum(np.sort(values)[::-1], dtype=np.float64)
    return int(np.searchsorted(carried * WHOLE, carried[-1] * basis_points)) + 1
