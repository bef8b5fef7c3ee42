"""The Arrow schema of each stage dataset, one field at a time, and the check of a table against it.

Every list column is index-aligned with the token ids that its `aligned` metadata names: value i belongs to token i of
the response. Log-probabilities are natural logarithms (nats). Lists are `large_list` because Polars then takes their
64-bit offsets as they are.
"""

from __future__ import annotations

from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import SepoError

MESSAGES = pa.large_list(pa.struct([("role", pa.string()), ("content", pa.string())]))
IDS = pa.large_list(pa.int32())
FLOATS = pa.large_list(pa.float32())
MASK = pa.large_list(pa.bool_())

SIDES = ("chosen", "rejected")


class Stage(StrEnum):
    """What a directory of sepo's holds."""

    ORACLE = "oracle"
    REWARDS = "rewards"
    SELECTION = "selection"
    POLICY = "policy"


def _field(name: str, kind: pa.DataType, doc: str, **metadata: str) -> pa.Field:
    return pa.field(name, kind, metadata={"doc": doc, **metadata})


def _pair_fields(text: pa.DataType) -> list[pa.Field]:
    return [
        _field("pair_id", pa.string(), "16 hex digits of a SHA-256 of (prompt, chosen, rejected)"),
        _field("source_row", pa.int64(), "row number in the input, from 0"),
        _field("prompt", text, "what came before the response: a string or a list of messages"),
        _field("chosen", text, "the preferred response"),
        _field("rejected", text, "the dispreferred response"),
        _field("prompt_ids", IDS, "token ids of the prompt, BOS and generation prompt included"),
        _field("chosen_ids", IDS, "token ids of the chosen response alone, end-of-turn included"),
        _field("rejected_ids", IDS, "token ids of the rejected response alone, end-of-turn included"),
    ]


def _length_fields() -> list[pa.Field]:
    return [
        _field(f"{part}_tokens", pa.int32(), f"number of tokens in {part}_ids, at least 1", counts=f"{part}_ids")
        for part in ("prompt", *SIDES)
    ]


def _reward_fields() -> list[pa.Field]:
    return [
        _field(
            f"{side}_rewards",
            FLOATS,
            "token reward: beta * (log p_oracle - log p_ref), in nats times beta",
            aligned=f"{side}_ids",
        )
        for side in SIDES
    ]


def _reward_sum_fields() -> list[pa.Field]:
    return [
        _field("chosen_reward", pa.float32(), "sum of chosen_rewards"),
        _field("rejected_reward", pa.float32(), "sum of rejected_rewards"),
        _field("margin", pa.float32(), "chosen_reward - rejected_reward; above 0 where the oracle agrees"),
        _field(
            "oracle_seen",
            pa.bool_(),
            "the oracle was trained on this pair; null where the oracle came without a record",
            nullable="yes",
        ),
    ]


def _logp_fields() -> list[pa.Field]:
    return [
        _field(
            f"{side}_{model}_logps",
            FLOATS,
            f"log-probability of each token under the {model} model, in nats",
            aligned=f"{side}_ids",
        )
        for side in SIDES
        for model in ("oracle", "ref")
    ]


def _mask_fields() -> list[pa.Field]:
    masks = [
        _field("chosen_mask", MASK, "the token is among the selected (highest rewards)", aligned="chosen_ids"),
        _field("rejected_mask", MASK, "the token is among the selected (lowest rewards)", aligned="rejected_ids"),
    ]
    counts = [
        _field(
            f"{side}_selected",
            pa.int32(),
            f"number of selected tokens in {side}_mask, at least 1",
            counts=f"{side}_mask",
        )
        for side in SIDES
    ]
    return masks + counts


def stage_schema(stage: Stage, *, conversational: bool, extra: list[pa.Field] | None = None) -> pa.Schema:
    """The columns of a stage dataset in their order on disk, side columns of the input (`extra`) at the end."""
    fields = _pair_fields(MESSAGES if conversational else pa.string())
    if stage is Stage.REWARDS:
        fields += _logp_fields() + _reward_fields() + _length_fields() + _reward_sum_fields()
    elif stage is Stage.SELECTION:
        fields += _reward_fields() + _length_fields() + _reward_sum_fields() + _mask_fields()
    else:
        raise ValueError(f"{stage} is not a stage dataset")
    return pa.schema(fields + list(extra or []))


def differences(table: pa.Table, stage: Stage) -> list[str]:
    """Everything in which `table` is not a `stage` dataset, a sentence each; side columns are free.

    Checks columns, types, nulls, the alignment of list lengths, and that no value is NaN or infinite.
    """
    conversational = "prompt" in table.column_names and pa.types.is_nested(table.schema.field("prompt").type)
    found = []
    for field in stage_schema(stage, conversational=conversational):
        if field.name not in table.column_names:
            found.append(f"column {field.name} is missing ({field.type})")
            continue
        column = table.column(field.name)
        if column.type != field.type:
            found.append(f"column {field.name} is {column.type}, not {field.type}")
            continue
        metadata = field.metadata
        values = pc.list_flatten(column) if pa.types.is_large_list(column.type) else column
        nulls = column.null_count + (values.null_count if values is not column else 0)
        if nulls and b"nullable" not in metadata:
            found.append(f"column {field.name} has {nulls} nulls")
        if b"counts" in metadata:
            found += _miscounted(table, field.name, metadata[b"counts"].decode())
        if b"aligned" in metadata:
            found += _misaligned(table, field.name, metadata[b"aligned"].decode())
        found += _non_finite(values, field.name)
    return found


def check_table(table: pa.Table, stage: Stage, where: str) -> None:
    """Raise a `SepoError` that lists every difference of `table` (read from `where`) from its stage's schema."""
    if found := differences(table, stage):
        listed = "\n  ".join(found)
        raise SepoError(
            f"{where} is not a valid {stage} dataset:\n  {listed}",
            "it was changed by hand or written by another version; write it again with `sepo "
            + ("score`" if stage is Stage.REWARDS else "select`"),
        )


def _misaligned(table: pa.Table, name: str, ids: str) -> list[str]:
    if ids not in table.column_names or not pa.types.is_large_list(table.schema.field(ids).type):
        return []
    lengths = pc.list_value_length(table.column(name))
    bad = pc.sum(pc.not_equal(lengths, pc.list_value_length(table.column(ids)))).as_py() or 0
    return [f"column {name} is not as long as {ids} in {bad} rows"] if bad else []


def _miscounted(table: pa.Table, name: str, counted: str) -> list[str]:
    """Whether `name` is in every row the number of tokens in (or selected by) the list `counted`, and above 0."""
    if counted not in table.column_names or not pa.types.is_large_list(table.schema.field(counted).type):
        return []
    lists = table.column(counted)
    true = pc.cast(pc.list_value_length(lists), pa.int32())
    if pa.types.is_boolean(lists.type.value_type):
        whole = lists.combine_chunks()
        bits = pc.cast(pc.fill_null(whole.values, fill_value=False), pa.int32())
        before = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(bits)])
        true = pc.subtract(before.take(whole.offsets[1:]), before.take(whole.offsets[:-1]))
    bad = pc.sum(pc.or_(pc.not_equal(table.column(name), true), pc.less(table.column(name), 1))).as_py() or 0
    return [f"column {name} is not the number in {counted}, or is 0, in {bad} rows"] if bad else []


def _non_finite(values: pa.ChunkedArray, name: str) -> list[str]:
    if not pa.types.is_floating(values.type):
        return []
    bad = len(values) - values.null_count - (pc.sum(pc.is_finite(values)).as_py() or 0)
    return [f"column {name} has {bad} NaN or infinite values"] if bad else []
