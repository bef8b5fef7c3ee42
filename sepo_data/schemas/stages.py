"""Arrow schemas of the stage datasets, built from the contract files `rewards.json`, `selection.json`, `message.json`.

Every list column is index-aligned with the token ids that its `aligned` metadata names: value i belongs to token i of
the response. Log-probabilities are natural logarithms (nats). Lists are `large_list` because Polars then takes their
64-bit offsets as they are.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

import pyarrow as pa

from sepo_data.schemas.stage_names import SIDES as SIDES  # noqa: PLC0414 - exported
from sepo_data.schemas.stage_names import Stage as Stage  # noqa: PLC0414 - exported


class TextOptions(TypedDict):
    """The arguments of `stage_schema` that follow from the type of the texts."""

    conversational: bool
    tool_turns: bool


def contract_text(name: str) -> str:
    """Read a contract file: beside this module in an installed wheel, in the top folder `schemas/` in a checkout."""
    here = Path(__file__).resolve().parent
    installed = here / name
    return (installed if installed.exists() else here.parents[1] / "schemas" / name).read_text(encoding="utf-8")


@cache
def _contract(name: str) -> dict[str, Any]:
    contract: dict[str, Any] = json.loads(contract_text(name))
    return contract


def _messages(*, tool_turns: bool) -> pa.DataType:
    keys = [key for key in _contract("message.json")["keys"] if tool_turns or "part" not in key]
    return pa.large_list(pa.struct([(key["name"], pa.string()) for key in keys]))


TURN_KEYS = tuple(key["name"] for key in _contract("message.json")["keys"] if "part" in key)
"""The keys of a message besides role and content; tool calls are stored as JSON text, for no two have the same keys."""

MESSAGES = _messages(tool_turns=False)
TOOL_MESSAGES = _messages(tool_turns=True)
IDS = pa.large_list(pa.int32())
FLOATS = pa.large_list(pa.float32())
MASK = pa.large_list(pa.bool_())

_TYPES = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "list<int32>": IDS,
    "list<float32>": FLOATS,
    "list<bool>": MASK,
}
"""The Arrow type of each type name in the contract; `text` is a string or a list of messages."""


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

    Args:
        stage: rewards or selection.
        conversational: prompts and responses are lists of messages; otherwise they are strings.
        tool_turns: messages have the keys `TURN_KEYS` as well, as where any message of a dataset has one of them.
        weights: a selection with soft weights.
        extra: side columns.

    Raises:
        ValueError: `stage` is a model directory.
    """
    if stage not in {Stage.REWARDS, Stage.SELECTION}:
        raise ValueError(f"{stage} is not a stage dataset")
    messages = TOOL_MESSAGES if tool_turns else MESSAGES
    types = _TYPES | {"text": messages if conversational else pa.string()}
    columns = [column for column in _contract(f"{stage}.json")["columns"] if weights or "part" not in column]
    return pa.schema([_field(column, types) for column in columns] + list(extra or []))


def _field(column: dict[str, Any], types: dict[str, pa.DataType]) -> pa.Field:
    metadata: dict[str, str] = {key: column[key] for key in ("doc", "aligned", "counts") if key in column}
    if column.get("nullable"):
        metadata["nullable"] = "yes"
    return pa.field(column["name"], types[column["type"]], metadata=metadata)
