"""Token rewards from log-probabilities, and the table they are stored in."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from sepo_data.errors import SepoError
from sepo_data.preferences.holdout import SPLIT
from sepo_data.preferences.sides import read_sides
from sepo_data.schemas.folder import DATASETS
from sepo_data.schemas.stages import SIDES, Stage, stage_schema
from sepo_data.shapes.pairs import json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from sepo_data.shapes.pairs import Pair, Text
    from sepo_data.shapes.shape import Shape
    from sepo_data.tokenization.tokenize import TokenizedPair

EQUAL_MODELS = "equal_models"
"""The entry of the results of a manifest of rewards, true where oracle and reference give the same numbers."""

CHUNK_PAIRS = 10_000
"""Pairs whose side columns are in memory at a time while their types are found."""


def token_rewards(
    oracle_logps: NDArray[np.float32], ref_logps: NDArray[np.float32], beta: float
) -> NDArray[np.float32]:
    """r(y_i) = beta * (log p_oracle(y_i | x, y_<i) - log p_ref(y_i | x, y_<i)).

    The token-level reward of SePO (arXiv 2408.13518, equation 6 of the ICLR version, which has "proportional to" for
    beta: that does not change the order).

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
        seen: ids of the pairs that the oracle was trained on; None where that is unknown.
        schema: from `rewards_schema`.
    """
    columns: dict[str, list[object]] = {name: [] for name in schema.names}
    for index, item in enumerate(pairs):
        pair = item.pair
        row: dict[str, object] = {
            "pair_id": pair.pair_id,
            "source_row": pair.source_row,
            "oracle_seen": None if seen is None else pair.pair_id in seen,
            "tools": None if pair.tools is None else json_text(pair.tools),
            "chat_template_kwargs": None if pair.template_kwargs is None else json_text(pair.template_kwargs),
            **pair.extra,
        }
        sums = {}
        for part in ("prompt", *SIDES):
            row[part] = _stored(getattr(pair, part))
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
    own = set(stage_schema(Stage.REWARDS, conversational=False).names)
    return pa.table(
        [
            pa.array(values, type=field.type) if field.name in own else _side_column(values, field)
            for field, values in zip(schema, columns.values(), strict=True)
        ],
        schema=schema,
    )


def rewards_schema(*, shape: Shape, pairs: Iterable[Pair], keep: Sequence[str]) -> pa.Schema:
    """The schema of a rewards dataset; its side columns have the types that hold the values of all `pairs`.

    The variables of the chat template of each row are added unasked, as JSON text.
    """
    schemas = (stage_schema(stage, conversational=True, weights=True) for stage in DATASETS)
    own = {name for each in schemas for name in each.names}
    if taken := sorted(set(keep) & own):
        raise SepoError(f"--keep-columns {','.join(taken)}: sepo's own columns have these names", "rename them")
    asked = [name for name in keep if name not in shape.side]
    kinds = dict.fromkeys(shape.side, pa.string()) | (_side_types(pairs, asked) if asked else {})
    extra = [
        pa.field(name, pa.string() if pa.types.is_null(kind) else kind, metadata={"doc": "of the input"})
        for name, kind in kinds.items()
    ]
    return stage_schema(Stage.REWARDS, conversational=shape.conversational, tool_turns=shape.tool_turns, extra=extra)


def _stored(text: Text) -> Text:
    """The messages with their tool calls as JSON text: the arguments of no two tools have the same keys."""
    if isinstance(text, str):
        return text
    return [{**turn, "tool_calls": json_text(turn["tool_calls"])} if "tool_calls" in turn else turn for turn in text]


def _side_types(pairs: Iterable[Pair], keep: Sequence[str]) -> dict[str, pa.DataType]:
    """The type of each column; raises where `split` would leave open what the policy may be trained on."""
    kinds = dict.fromkeys(keep, pa.null())
    rest = iter(pairs)
    splits: Counter[str | None] = Counter()
    while chunk := list(islice(rest, CHUNK_PAIRS)):
        splits.update(value for pair in chunk if isinstance(value := pair.extra.get(SPLIT), str | None))
        for name, kind in kinds.items():
            found = _common_type(name, [pair.extra[name] for pair in chunk])
            schemas = [pa.schema([(name, kind)]), pa.schema([(name, found)])]
            try:
                kinds[name] = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
            except pa.ArrowException as error:
                raise SepoError(
                    f"--keep-columns {name}: its values have no common type ({kind} and {found})",
                    "leave the column out",
                ) from error
    if SPLIT in keep:
        read_sides(splits.elements(), "the input")
    return kinds


def _common_type(name: str, values: list[object]) -> pa.DataType:
    try:
        return pa.array(values).type
    except (pa.ArrowException, OverflowError) as error:
        raise SepoError(
            f"--keep-columns {name}: its values have no common type ({error})", "leave the column out"
        ) from error


def _side_column(values: list[object], field: pa.Field) -> pa.Array:
    """Refuse values that the type of the column cannot hold; Arrow itself would cut 1.5 to 1 and drop a key."""
    found = pa.field(field.name, _common_type(field.name, values))
    try:
        wider = pa.unify_schemas([pa.schema([field]), pa.schema([found])], promote_options="permissive").field(0)
        if wider.type == field.type:
            return pa.array(values, type=field.type)
    except pa.ArrowException:
        pass  # nothing holds both
    raise SepoError(
        f"--keep-columns {field.name}: the column is {field.type}, but values here are {found.type}",
        "leave the column out",
    )
