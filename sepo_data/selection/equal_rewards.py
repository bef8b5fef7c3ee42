"""Rewards that are all equal, as those of an oracle that is its reference: no rule can rank tokens by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sepo_data.errors import SepoError
from sepo_data.schemas.stages import SIDES
from sepo_data.selection.ragged import Ragged, ragged
from sepo_data.selection.scores import certain
from sepo_data.stages.rewards import EQUAL_MODELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl
    from numpy.typing import NDArray

    from sepo_data.schemas.manifest import Manifest
    from sepo_data.selection.rule import Rule
    from sepo_data.stages.shards import Shard

TRIED_ROWS = 100
"""Rows on which a rule is tried with other rewards."""


def refuse_equal_rewards(parent: Manifest, shards: Sequence[Shard], rules: Iterable[Rule]) -> None:
    """Raise for a rule that ranks by rewards which are all equal: it would take the first tokens of each response.

    Args:
        parent: the manifest of the rewards.
        shards: their files; read up to the first response with two different rewards.
        rules: what is selected. Those that do not rank by reward, such as `random`, are never refused.

    Raises:
        SepoError: the rewards are equal, or within each response, and a rule ranks by them.
    """
    same_models = parent.results.get(EQUAL_MODELS) is True
    if not same_models and _vary(shards):
        return
    equal = same_models or _distinct(shards) == 1
    frame = next(frame for shard in shards if (frame := shard.frame().head(TRIED_ROWS)).height)
    for rule in rules:
        if _ranks_by_reward(rule, frame) and (equal or _always_cuts(rule, frame)):
            which = "all rewards" if equal else "the rewards of each response"
            reason = _reason(parent) if same_models else ""
            raise SepoError(
                f"{which} are equal, so the rule {rule.name} would take the first tokens of each response{reason}",
                "score with an oracle that was trained from the reference (`sepo oracle`); rules that do not rank by "
                "reward, such as --rule random, are selected from any rewards",
            )


def _reason(parent: Manifest) -> str:
    oracle, ref = (parent.models[role].name for role in ("oracle", "ref"))
    return f": the oracle {oracle} is the reference {ref}, up to rounding"


def _vary(shards: Iterable[Shard]) -> bool:
    """True if a response has two different rewards, or none has two tokens to choose from."""
    longest = 0
    for rewards in _rewards(shards):
        longest = max(longest, int(rewards.lengths.max(initial=0)))
        if (rewards.values != rewards.per_token(_firsts(rewards))).any():
            return True
    return longest < 2  # noqa: PLR2004 - two tokens


def _distinct(shards: Iterable[Shard]) -> int:
    """The number of different rewards, of a dataset whose responses have one each."""
    return len(set().union(*(np.unique(rewards.values).tolist() for rewards in _rewards(shards))))


def _rewards(shards: Iterable[Shard]) -> Iterable[Ragged[np.float32]]:
    columns = [f"{side}_rewards" for side in SIDES]
    for shard in shards:
        frame = shard.frame(columns)
        yield from (ragged(frame[column]) for column in columns)


def _firsts(rewards: Ragged[np.float32]) -> NDArray[np.float32]:
    """(responses,) the reward of the first token of each; 0 of one without tokens, which has none to compare."""
    firsts = np.zeros(len(rewards.lengths), np.float32)
    firsts[rewards.lengths > 0] = rewards.values[rewards.positions == 0]
    return firsts


def _ranks_by_reward(rule: Rule, frame: pl.DataFrame) -> bool:
    """True if other rewards than the equal ones of `frame` make `rule` take other tokens.

    A rule that marks tokens ranks by reward only where it marks none.
    """
    if rule.count is certain:
        return False
    before = _masks(rule, frame)
    return any(not before.equals(_masks(rule, _with_rewards(frame, sign))) for sign in (1.0, -1.0))


def _always_cuts(rule: Rule, frame: pl.DataFrame) -> bool:
    """True if `rule` takes a part of each response of two tokens or more, and compares responses in no other way."""
    if rule.prepare is not None:
        return False
    masks = [ragged(mask) for mask in _masks(rule, frame)]
    return all(bool((mask.sums() < mask.lengths)[mask.lengths > 1].all()) for mask in masks)


def _masks(rule: Rule, frame: pl.DataFrame) -> pl.DataFrame:
    prepared = rule.prepared(frame.lazy())
    return frame.select(prepared.mask(side).alias(side) for side in SIDES)


def _with_rewards(frame: pl.DataFrame, sign: float) -> pl.DataFrame:
    """`frame` with rewards that rise, or with -1 fall, from token to token, and log-probabilities that give them."""
    columns = []
    for side in SIDES:
        places = ragged(frame[f"{side}_rewards"])
        rewards = places.with_values((sign * places.positions).astype(np.float32)).to_series(f"{side}_rewards")
        columns += [rewards, (frame[f"{side}_ref_logps"] + rewards).alias(f"{side}_oracle_logps")]
    return frame.with_columns(columns)
