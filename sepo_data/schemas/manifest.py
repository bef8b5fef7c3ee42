"""The manifest, `sepo.json`: the inputs and options that made a stage directory, and the results.

The plan is the part that decides the output. Its fingerprint is a hash of its sorted JSON: a run of the same
fingerprint is resumed, one of another is refused with the keys that differ. Names and paths are recorded but are not
part of the plan: a model that moved is the same model.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, NonNegativeInt

from sepo_data.schemas.stages import Stage

SCHEMA_VERSION: Literal[2] = 2
"""Raised whenever a column or a field of the manifest changes its name, type or meaning."""

PLACE_KEYS = frozenset({"name", "revision"})
"""Keys of the place where something was found; they are not part of its identity."""


class SchemaVersionError(ValueError):
    """A manifest of another schema version."""

    def __init__(self, version: int, stage: object) -> None:
        super().__init__(f"schema version {version}, not {SCHEMA_VERSION}")
        self.version = version
        self.stage = stage


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)


class InputRecord(_Record):
    """The input dataset."""

    name: str
    fingerprint: str = Field(description="SHA-256 of the content; for a stage dataset, its own plan's fingerprint")
    split: str | None = None
    shape: str | None = Field(None, description="the detected preference shape")
    rows: NonNegativeInt = Field(description="rows read, skipped ones included")


class ModelRecord(_Record):
    """A model's identity."""

    name: str
    revision: str | None = None
    weights: str = Field(description="SHA-256 over the weight files and the config, in sorted order of their names")
    parameters: int


class TokenizerRecord(_Record):
    """A tokenizer's identity."""

    name: str
    tokenizer: str = Field(description="SHA-256 of the fast tokenizer's JSON and its special tokens")
    chat_template: str | None = Field(description="SHA-256 of the chat template; null if the tokenizer has none")
    vocabulary: int


class ShardRecord(_Record):
    """One finished data file."""

    file: str
    rows: NonNegativeInt
    bytes: NonNegativeInt
    sha256: str
    tokens: dict[str, NonNegativeInt]
    skipped: dict[str, NonNegativeInt] = {}
    notes: dict[str, NonNegativeInt] = Field(
        {}, description="further counts, such as boundary_merged, end_trimmed and truncated"
    )


class Manifest(_Record):
    """The record of a stage directory; `sepo info` prints it."""

    stage: Stage
    schema_version: Literal[2] = SCHEMA_VERSION
    input: InputRecord
    models: dict[str, ModelRecord] = {}
    tokenizer: TokenizerRecord | None = None
    options: dict[str, JsonValue] = Field({}, description="the options that decide the output")
    parent: str | None = Field(
        None, description="fingerprint of the directory that this one was made from (rewards: the oracle)"
    )
    runtime: dict[str, JsonValue] = Field(
        {}, description="options that change how the output is made, not the output; not part of the plan"
    )

    versions: dict[str, str] = {}
    created: str = Field("", description="UTC, ISO 8601")
    complete: bool = False
    seconds: float | None = None
    shards: list[ShardRecord] = []
    files: dict[str, str] = Field({}, description="SHA-256 of each file of the tokenizer, by its name in the directory")
    results: dict[str, JsonValue] = Field({}, description="measurements of the run")

    def plan(self) -> dict[str, JsonValue]:
        """The fields that decide the output, flattened to dotted keys."""
        decides = {"stage", "schema_version", "input", "models", "tokenizer", "options", "parent"}
        return _flatten(self.model_dump(mode="json", include=decides))

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the SHA-256 of the plan's sorted JSON."""
        return hashlib.sha256(json.dumps(self.plan(), sort_keys=True).encode()).hexdigest()[:16]

    def differing_keys(self, other: Manifest) -> list[str]:
        """`key: mine -> theirs` for every key of the plan in which two manifests differ."""
        mine, theirs = self.plan(), other.plan()
        return [
            f"{key}: {_short(mine.get(key))} -> {_short(theirs.get(key))}"
            for key in sorted(mine.keys() | theirs.keys())
            if mine.get(key) != theirs.get(key)
        ]

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)

    def total(self, kind: Literal["tokens", "skipped", "notes"]) -> dict[str, int]:
        """Counts summed over the shards, by name."""
        totals: dict[str, int] = {}
        for shard in self.shards:
            for name, count in getattr(shard, kind).items():
                totals[name] = totals.get(name, 0) + count
        return dict(sorted(totals.items()))

    def to_json(self) -> str:
        """The text of the file; the fingerprint is written for people and recomputed on reading."""
        return json.dumps({"fingerprint": self.fingerprint, **self.model_dump(mode="json")}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read a manifest.

        Raises:
            SchemaVersionError: the text is a manifest of another schema version.
            ValueError: the text is not a manifest.
        """
        try:
            fields = json.loads(text)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if not isinstance(fields, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - one error type for the caller
        found = fields.get("schema_version", SCHEMA_VERSION)
        if isinstance(found, int) and found != SCHEMA_VERSION:
            raise SchemaVersionError(found, fields.get("stage"))
        fields.pop("fingerprint", None)
        return cls.model_validate(fields)


def manifest_schema() -> str:
    """The JSON Schema of `sepo.json`, as `schemas/manifest.json` holds it."""
    schema: dict[str, Any] = Manifest.model_json_schema(mode="serialization")
    fingerprint = {
        "type": "string",
        "pattern": "^[0-9a-f]{16}$",
        "description": "first 16 hex digits of the plan's hash",
    }
    return json.dumps(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **schema,
            "properties": {"fingerprint": fingerprint, **schema["properties"]},
        },
        indent=2,
    )


def _flatten(value: JsonValue, prefix: str = "") -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, JsonValue] = {}
    for key, inner in value.items():
        if key not in PLACE_KEYS:
            flat |= _flatten(inner, f"{prefix}.{key}" if prefix else key)
    return flat


def _short(value: JsonValue) -> str:
    text = json.dumps(value)
    return text if len(text) <= 20 else f"{text[:13]}...{text[-4:]}"  # noqa: PLR2004 - a hash's two ends
