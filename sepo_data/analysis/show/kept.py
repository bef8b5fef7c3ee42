"""A selection of one pair in numbers: tokens, share of the absolute reward, margin; and the overlap of two."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING

from sepo_data.schemas.stages import SIDES

if TYPE_CHECKING:
    from sepo_data.analysis.show.pair import ShownPair, Token


@dataclass(frozen=True, slots=True)
class Kept:
    """The part of a pair that is selected.

    Attributes:
        selected: tokens, of both responses.
        tokens: of both responses, selected or not.
        absolute: sum of |reward| over the selected tokens, of that over all; 1 where all rewards are 0.
        margin: selected chosen rewards minus selected rejected rewards.
    """

    selected: int
    tokens: int
    absolute: float
    margin: float


def kept_of(pair: ShownPair) -> Kept:
    """The selection of `pair` in numbers."""
    every = [*pair.chosen, *pair.rejected]
    selected = [token for token in every if token.selected]
    total = fsum(abs(token.reward) for token in every)
    return Kept(
        len(selected),
        len(every),
        fsum(abs(token.reward) for token in selected) / total if total else 1.0,
        _sum(pair.chosen) - _sum(pair.rejected),
    )


def disagreement_of(a: ShownPair, b: ShownPair) -> float | None:
    """1 - Jaccard of the two selections of one pair, both responses together; 0 where neither selects a token.

    None where the two have other tokens, of which nothing can be compared.
    """
    if any(_ids(a, side) != _ids(b, side) for side in SIDES):
        return None
    marks = [(one.selected, other.selected) for side in SIDES for one, other in _tokens(a, b, side)]
    in_any = sum(one or other for one, other in marks)
    return 1 - sum(one and other for one, other in marks) / in_any if in_any else 0.0


def _tokens(a: ShownPair, b: ShownPair, side: str) -> zip[tuple[Token, Token]]:
    return zip(getattr(a, side), getattr(b, side), strict=True)


def _ids(pair: ShownPair, side: str) -> list[int]:
    return [token.token_id for token in getattr(pair, side)]


def _sum(tokens: list[Token]) -> float:
    return fsum(token.reward for token in tokens if token.selected)
