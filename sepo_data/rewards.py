"""Token rewards from log-probabilities, and the table they are stored in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from schemas.errors import SepoError
from schemas.stages import SIDES, Stage, stage_schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sepo_data.pairs import Pair
    from sepo_data.tokenization import TokenizedPair


def token_rewards(
    oracle_logps: NDArray[np.float32], ref_logps: NDArray[np.float32], beta: float
) -> NDArray[np.float32]:
    """r(y_i) = beta * (log p_oracle(y_i | x, y_<i) - log p_ref(y_i | x, y_<i)).

    The token-level reward of SePO (arXiv 2408.13518, section 3; beta does not change the order).

    Args:
        oracle_logps: (tokens,) natural logarithms.
        ref_logps: (tokens,) of the same tokens under the reference model.
        beta: the oracle's DPO temperature.

    Returns:
        (tokens,) float32.
    """
    return np.float32(beta) * (oracle_logps - ref_logps)


def rewards_table(
    pairs: Sequence[TokenizedPair],
    logps: Mapping[str, Sequence[Sequence[NDArray[np.float32]]]],
    *,
    beta: float,
    seen: frozenset[str] | None,
    schema: pa.Schema,
) -> pa.Table:
    """One row a pair in the schema of a rewards dataset.

    Args:
        pairs: the scored pairs.
        logps: for `oracle` and `ref`, per pair the (tokens,) log-probabilities of the chosen and the rejected response.
        beta: as in `token_rewards`.
        seen: ids of the pairs the oracle was trained on; None where that is unknown.
        schema: from `rewards_schema`.
    """
    columns: dict[str, list[object]] = {name: [] for name in schema.names}
    for index, item in enumerate(pairs):
        pair = item.pair
        row: dict[str, object] = {
            "pair_id": pair.pair_id,
            "source_row": pair.source_row,
            "oracle_seen": None if seen is None else pair.pair_id in seen,
            **pair.extra,
        }
        sums = {}
        for part in ("prompt", *SIDES):
            row[part] = getattr(pair, part)
            row[f"{part}_ids"] = getattr(item, f"{part}_ids")
            row[f"{part}_tokens"] = len(getattr(item, f"{part}_ids"))
        for number, side in enumerate(SIDES):
            oracle, ref = logps["oracle"][index][number], logps["ref"][index][number]
            rewards = token_rewards(oracle, ref, beta)
            row |= {f"{side}_oracle_logps": oracle, f"{side}_ref_logps": ref, f"{side}_rewards": rewards}
            sums[side] = np.float32(rewards.sum(dtype=np.float64))
            row[f"{side}_reward"] = sums[side]
        row["margin"] = sums["chosen"] - sums["rejected"]
        for name, values in columns.items():
            values.append(row[name])
    return pa.table([_column(columns[field.name], field) for field in schema], schema=schema)


def rewards_schema(*, conversational: bool, sample: Sequence[Pair], keep: Sequence[str]) -> pa.Schema:
    """The schema of a rewards dataset whose side columns have the types of the first pairs (`sample`)."""
    own = stage_schema(Stage.REWARDS, conversational=conversational)
    if taken := sorted(set(keep) & set(own.names)):
        raise SepoError(f"--keep {','.join(taken)}: the rewards dataset has columns of that name itself", "rename them")
    extra = []
    for name in keep:
        try:
            kind = pa.array([pair.extra[name] for pair in sample]).type
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise SepoError(
                f"--keep {name}: its values have no common type ({error})", "leave the column out"
            ) from error
        extra.append(pa.field(name, pa.string() if pa.types.is_null(kind) else kind, metadata={"doc": "of the input"}))
    return stage_schema(Stage.REWARDS, conversational=conversational, extra=extra)


def _column(values: list[object], field: pa.Field) -> pa.Array:
    try:
        return pa.array(values, type=field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise SepoError(
            f"column {field.name} has a value that does not fit its type {field.type}: {error}",
            "leave it out of --keep",
        ) from error
