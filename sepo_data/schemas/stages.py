"""The Arrow schema of each stage dataset, one field at a time.

Every list column is index-aligned with the token ids that its `aligned` metadata names: value i belongs to token i of
the response. Log-probabilities are natural logarithms (nats). Lists are `large_list` because Polars then takes their
64-bit offsets as they are.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypedDict

import pyarrow as pa

TURN_KEYS = ("tool_calls", "tool_call_id", "name", "reasoning_content", "thinking")
"""What a turn may have besides role and content; tool calls are stored as JSON text, for no two have the same keys."""

_TURN = [("role", pa.string()), ("content", pa.string())]
MESSAGES = pa.large_list(pa.struct(_TURN))
TOOL_MESSAGES = pa.large_list(pa.struct([*_TURN, *((key, pa.string()) for key in TURN_KEYS)]))
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
        _field("chosen_mask", MASK, "the token is selected", aligned="chosen_ids"),
        _field("rejected_mask", MASK, "the token is selected", aligned="rejected_ids"),
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


def _weight_fields() -> list[pa.Field]:
    return [
        _field(f"{side}_weights", FLOATS, "how much each selected token counts; where asked for", aligned=f"{side}_ids")
        for side in SIDES
    ]


class TextOptions(TypedDict):
    """What `stage_schema` wants to know of prompts and responses."""

    conversational: bool
    tool_turns: bool


def text_options(text: pa.DataType) -> TextOptions:
    """The options of a dataset whose prompts have the type `text`."""
    return {"conversational": pa.types.is_nested(text), "tool_turns": text == TOOL_MESSAGES}


def stage_schema(
    stage: Stage,
    *,
    conversational: bool,
    tool_turns: bool = False,
    weights: bool = False,
    extra: list[pa.Field] | None = None,
) -> pa.Schema:
    """The columns of a stage dataset in their order on disk, side columns of the input (`extra`) at the end.

    The turns of a conversation have the further keys only where a dataset has any (`tool_turns`); a selection has soft
    weights only where they were asked for (`weights`).
    """
    messages = TOOL_MESSAGES if tool_turns else MESSAGES
    fields = _pair_fields(messages if conversational else pa.string())
    if stage is Stage.REWARDS:
        fields += _logp_fields() + _reward_fields() + _length_fields() + _reward_sum_fields()
    elif stage is Stage.SELECTION:
        fields += _reward_fields() + _length_fields() + _reward_sum_fields() + _mask_fields()
        fields += _weight_fields() if weights else []
    else:
        raise ValueError(f"{stage} is not a stage dataset")
    return pa.schema(fields + list(extra or []))
