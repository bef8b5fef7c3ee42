"""A rewards dataset of random numbers, for benchmarks of what reads one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from sepo_data.schemas.manifest import InputRecord, Manifest
from sepo_data.schemas.stages import SIDES, Stage, stage_schema
from sepo_data.stages.writer import open_stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Draw = Callable[[np.random.Generator, int], NDArray[np.integer]]

VOCABULARY, PROMPT, SHARD = 49_152, 30, 2048


def build(folder: Path, pairs: int, *, lengths: Draw, ids: Draw) -> int:
    """Write `pairs` pairs to `folder`; how many response tokens they have.

    Args:
        folder: a directory that is not there yet.
        pairs: number of rows, in shards of 2048.
        lengths: draws so many lengths of responses, in tokens.
        ids: draws so many token ids below `VOCABULARY`.
    """
    starts = range(0, pairs, SHARD)
    plan = Manifest(stage=Stage.REWARDS, input=InputRecord(name="random", fingerprint="random", rows=pairs))
    stage = open_stage(folder, plan, shards=len(starts))
    (folder / "tokenizer").mkdir()
    for index, start in enumerate(starts):
        stage.write_shard(index, _shard(start, min(SHARD, pairs - start), lengths, ids))
    counts = stage.finish(seconds=0.0).total("tokens")
    return counts["chosen"] + counts["rejected"]


def lengths_of(tokens: int) -> Draw:
    """Responses of `tokens` tokens each."""
    return lambda _rng, rows: np.full(rows, tokens)


def ids_as_in_text(rng: np.random.Generator, tokens: int) -> NDArray[np.int32]:
    """Token ids of which some are far more frequent than others."""
    return (VOCABULARY * rng.random(tokens) ** 3).astype(np.int32)


def _shard(first: int, rows: int, draw_lengths: Draw, draw_ids: Draw) -> pa.Table:
    """Rows of a rewards dataset from pair number `first` on."""
    rng = np.random.default_rng(first)
    columns = {
        "pair_id": [f"{number:016x}" for number in range(first, first + rows)],
        "source_row": np.arange(first, first + rows),
        "prompt": ["question " * PROMPT] * rows,
        "prompt_ids": _lists(rng.integers(0, VOCABULARY, rows * PROMPT, dtype=np.int32), np.full(rows, PROMPT)),
        "prompt_tokens": np.full(rows, PROMPT, np.int32),
        "oracle_seen": np.ones(rows, bool),
    }
    for side in SIDES:
        lengths = draw_lengths(rng, rows).astype(np.int64)
        tokens = int(lengths.sum())
        reference, change = -rng.exponential(2.0, tokens), rng.normal(0.0, 0.5, tokens)
        rewards = (0.1 * change).astype(np.float32)
        columns |= {
            side: ["word " * int(length) for length in lengths],
            f"{side}_ids": _lists(draw_ids(rng, tokens).astype(np.int32), lengths),
            f"{side}_oracle_logps": _lists((reference + change).astype(np.float32), lengths),
            f"{side}_ref_logps": _lists(reference.astype(np.float32), lengths),
            f"{side}_rewards": _lists(rewards, lengths),
            f"{side}_tokens": lengths.astype(np.int32),
            f"{side}_reward": np.add.reduceat(rewards, np.cumsum(lengths) - lengths),
        }
    columns["margin"] = columns["chosen_reward"] - columns["rejected_reward"]
    schema = stage_schema(Stage.REWARDS, conversational=False)
    return pa.table([pa.array(columns[field.name], type=field.type) for field in schema], schema=schema)


def _lists(values: NDArray[np.generic], lengths: NDArray[np.int64]) -> pa.Array:
    return pa.LargeListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(lengths)])), pa.array(values))
