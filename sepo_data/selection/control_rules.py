"""The rules that a paper compares with: the worst tokens, random ones, random ones at the same places, and all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from sepo_data.selection.quota import amounts_of_sides, texts_of_sides, whole_number
from sepo_data.selection.ragged import Ragged, ragged
from sepo_data.selection.rules import CERTAIN, Rule, certain, elementwise, lengths, quota, signed_rewards
from sepo_data.selection.token_hash import token_hashes
from sepo_data.selection.top_k import mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sepo_data.selection.rules import Score

PARTS, PART_TOKENS = 10, 8
"""`position-random` keeps the number of selected tokens in each tenth of a response; no part is shorter than 8."""


def inverse(share: str = "30%", *, chosen: str = "", rejected: str = "") -> Rule:
    """A control: the worst tokens, the lowest rewards of chosen and the highest of rejected. Streams: yes."""
    amounts = amounts_of_sides(share, chosen, rejected)
    return Rule(
        "inverse", texts_of_sides(amounts), lambda side: signed_rewards(side).list.eval(-pl.element()), quota(amounts)
    )


def every() -> Rule:
    """A control: `all` tokens of both responses, with which SePO's loss is SimPO's. Streams: yes."""
    return Rule("all", {}, signed_rewards, lambda side, _score: lengths(side))


def random(share: str = "30%", *, chosen: str = "", rejected: str = "", seed: str | int = 0) -> Rule:
    """A control: tokens drawn at random, as many as `top` takes.

    By a hash of (seed, pair_id, side, position): neither the order of the rows nor the sharding matters. Streams: yes.
    """
    amounts, seed = amounts_of_sides(share, chosen, rejected), whole_number("seed", seed)
    return Rule("random", texts_of_sides(amounts) | {"seed": str(seed)}, _hashes(seed), quota(amounts))


def position_random(share: str = "30%", *, chosen: str = "", rejected: str = "", seed: str | int = 0) -> Rule:
    """A control: random tokens at the places of the response where `top` takes its own.

    In each tenth of a response as many tokens as `top` takes there, drawn as `random` does; responses of fewer than 80
    tokens have fewer parts, of 8 tokens or more. What is left of `top` is where in the response it selects.
    Streams: yes.
    """
    amounts, seed = amounts_of_sides(share, chosen, rejected), whole_number("seed", seed)

    def score(side: str) -> pl.Expr:
        def scores(columns: Sequence[pl.Series]) -> pl.Series:
            rewards = ragged(columns[0])
            [best] = mark(rewards, [amounts[side].of_array(rewards.lengths)])
            hashes = token_hashes(columns[1], rewards.offsets, side=side, seed=seed)
            parts = _parts(rewards)
            [drawn] = mark(Ragged(hashes.values, parts), [Ragged(best, parts).sums()])
            return rewards.with_values(np.where(drawn, CERTAIN, rewards.values)).to_series()

        return elementwise(scores, signed_rewards(side), pl.col("pair_id"))

    return Rule("position-random", texts_of_sides(amounts) | {"seed": str(seed)}, score, certain)


def _hashes(seed: int) -> Score:
    def score(side: str) -> pl.Expr:
        def hashes(columns: Sequence[pl.Series]) -> pl.Series:
            return token_hashes(columns[1], ragged(columns[0]).offsets, side=side, seed=seed).to_series()

        return elementwise(hashes, pl.col(f"{side}_rewards"), pl.col("pair_id"), kind=pl.List(pl.UInt64))

    return score


def _parts(responses: Ragged[Any]) -> NDArray[np.int64]:
    """Where the parts of the responses begin, as offsets that are finer than those of the responses."""
    tokens = responses.lengths
    parts = np.clip(tokens // PART_TOKENS, 1, PARTS)
    of_token = responses.positions * responses.per_token(parts) // responses.per_token(tokens)
    begins = np.flatnonzero((responses.positions == 0) | (np.diff(of_token, prepend=0) != 0))
    return np.append(begins, len(of_token)).astype(np.int64)
