"""Compare a scored dataset with full precision: differences of the numbers, and of the tokens that are selected."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sepo_data import scan
from sepo_data.schemas.stages import SIDES
from sepo_data.selection.rules.top import top
from sepo_data.share import format_share
from sepo_data.stages.directory import record_results
from sepo_data.stages.rewards import token_rewards
from sepo_train.engine.layout import Tree
from sepo_train.engine.layout_policy import PLAIN
from sepo_train.engine.logps import score_trees

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from pydantic import JsonValue
    from transformers import PreTrainedModel

    from sepo_data.console.progress import Progress
    from sepo_data.schemas.manifest import Manifest
    from sepo_train.scoring.model_pair import ModelPair

COMPARED_SHARES = (1000, 3000, 5000)
"""Basis points at which the selected tokens are compared."""


def record_precision(out: Path, manifest: Manifest, models: ModelPair, count: int, progress: Progress) -> Manifest:
    """Check `count` pairs of the finished dataset `out` and record the result in its manifest; nothing if 0.

    A result for as many pairs that is recorded already is only noted again.

    Returns:
        The manifest on disk.
    """
    if not count:
        return manifest
    found = manifest.results.get("precision")
    if not isinstance(found, dict) or found["pairs"] != min(count, manifest.rows):
        found = precision(out, manifest, models, count)
    progress.note(precision_text(found))
    return record_results(out, {**manifest.results, "precision": found})


def precision(folder: Path, manifest: Manifest, models: ModelPair, count: int) -> dict[str, JsonValue]:
    """Score `count` pairs of `folder`, evenly spread, again in fp32, each response in a batch of its own, and compare.

    Args:
        folder: a finished rewards directory.
        manifest: its manifest.
        models: those that scored it; they are loaded again in fp32.
        count: pairs to score again.

    Returns:
        `pairs`; `oracle_logps`, `ref_logps` and `rewards`, each with the `max` and `mean` of |delta| over tokens, in
        nats; `agreement`, by share and side the Jaccard index of the tokens that the method selects.
    """
    lists = [f"{side}_{name}" for side in SIDES for name in ("ids", "oracle_logps", "ref_logps", "rewards")]
    count = min(count, manifest.rows)
    places = [place * manifest.rows // count for place in range(count)]
    rows = scan(folder).select("prompt_ids", *lists).with_row_index()
    stored = rows.filter(pl.col("index").is_in(places)).collect(engine="streaming")
    trees = [
        Tree(prompt, (ids,))
        for prompt, *sides in stored.select("prompt_ids", "chosen_ids", "rejected_ids").iter_rows()
        for ids in sides
    ]

    def logps(model: PreTrainedModel) -> list[NDArray[np.float32]]:
        return [responses[0].numpy() for responses in score_trees(model, trees, PLAIN, batch_tokens=1)]

    found = replace(models, dtype="float32", _loaded={}).each(logps)
    beta = manifest.options["beta"]
    rewards = [
        token_rewards(oracle, ref, float(str(beta))) for oracle, ref in zip(found["oracle"], found["ref"], strict=True)
    ]
    exact = {"oracle_logps": found["oracle"], "ref_logps": found["ref"], "rewards": rewards}
    # Responses alternate between the sides.
    columns = {
        f"{side}_{name}": values[number::2] for number, side in enumerate(SIDES) for name, values in exact.items()
    }
    deltas = {name: _delta([(stored[f"{side}_{name}"], columns[f"{side}_{name}"]) for side in SIDES]) for name in exact}
    agreement: dict[str, JsonValue] = {
        format_share(share): {
            side: _jaccard(stored[f"{side}_rewards"], columns[f"{side}_rewards"], share, side) for side in SIDES
        }
        for share in COMPARED_SHARES
    }
    return {"pairs": stored.height, **deltas, "agreement": agreement}


def precision_text(found: dict[str, JsonValue]) -> str:
    """The result of `precision` as a sentence."""
    delta, agreement = found["rewards"], found["agreement"]
    if not isinstance(delta, dict) or not isinstance(agreement, dict):
        raise TypeError("not what precision returns")
    shares = "; ".join(
        f"{share} " + ", ".join(f"{side} {jaccard}" for side, jaccard in sides.items())
        for share, sides in agreement.items()
        if isinstance(sides, dict)
    )
    return (
        f"precision: {found['pairs']} pairs again in fp32, one response at a time: rewards differ by {delta['mean']} "
        f"on average, {delta['max']} at most; the same tokens (Jaccard) at {shares}"
    )


def _delta(sides: list[tuple[pl.Series, list[NDArray[np.float32]]]]) -> JsonValue:
    change = np.concatenate([np.abs(column.explode().to_numpy() - np.concatenate(exact)) for column, exact in sides])
    return {"max": float(f"{change.max():.3g}"), "mean": float(f"{change.mean():.3g}")}


def _jaccard(stored: pl.Series, exact: list[NDArray[np.float32]], share: int, side: str) -> float:
    # Of NumPy arrays of one length, Polars makes a column of arrays, not of lists.
    lists = pl.Series([values.tolist() for values in exact], dtype=stored.dtype)
    mask = top(format_share(share)).mask(side)
    one, other = (rewards.to_frame(f"{side}_rewards").select(mask.explode()).to_series() for rewards in (stored, lists))
    return round(float((one & other).sum()) / float((one | other).sum()), 4)
