"""The manifest, `sepo.json`: what made a stage directory, and what came out.

The plan is the part that decides the output. Its fingerprint is a hash of its sorted JSON: the same fingerprint may be
resumed, another one is refused with the keys that differ. Names and paths are recorded but are not part of the plan:
a model that moved is the same model.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from sepo_data.schemas.stages import Stage

SCHEMA_VERSION: Literal[1] = 1
"""Raised whenever a column or a field of the manifest changes its name, type or meaning."""

NAMES = frozenset({"name", "revision"})
"""Keys that say where something was found, not what it is."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputRecord(_Record):
    """The dataset that was read."""

    name: str
    fingerprint: str = Field(description="SHA-256 of the content; for a stage dataset, its own plan's fingerprint")
    split: str | None = None
    shape: str | None = Field(None, description="the preference shape that was detected")
    rows: int = Field(description="rows read, those set aside included")


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
    chat_template: str | None = Field(description="SHA-256 of the chat template; null where there is none")
    vocabulary: int


class ShardRecord(_Record):
    """One finished data file."""

    file: str
    rows: int
    bytes: int
    sha256: str
    tokens: dict[str, int]
    skipped: dict[str, int] = {}
    notes: dict[str, int] = Field({}, description="counts worth telling, such as boundary_merged and truncated")


class Manifest(_Record):
    """Everything worth knowing about a stage directory; `sepo info` prints it."""

    stage: Stage
    schema_version: Literal[1] = SCHEMA_VERSION
    input: InputRecord
    models: dict[str, ModelRecord] = {}
    tokenizer: TokenizerRecord | None = None
    options: dict[str, JsonValue] = Field({}, description="every option that decides the output")
    settings: dict[str, JsonValue] = Field({}, description="options that decide how, not what; not part of the plan")
    parent: str | None = Field(
        None, description="fingerprint of the directory this one came from (rewards: the oracle)"
    )

    versions: dict[str, str] = {}
    created: str = Field("", description="UTC, ISO 8601")
    finished: bool = False
    seconds: float | None = None
    shards: list[ShardRecord] = []
    results: dict[str, JsonValue] = Field({}, description="what was measured on the way")

    def plan(self) -> dict[str, JsonValue]:
        """What decides the output, flattened to dotted keys."""
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
        """The file's text; the fingerprint is written for people and recomputed on reading."""
        return json.dumps({"fingerprint": self.fingerprint, **self.model_dump(mode="json")}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read a manifest; raises `ValueError` where the text is not one of this schema version."""
        fields = json.loads(text)
        if not isinstance(fields, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - one error type for the caller
        fields.pop("fingerprint", None)
        return cls.model_validate(fields)


def _flatten(value: JsonValue, prefix: str = "") -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, JsonValue] = {}
    for key, inner in value.items():
        if key not in NAMES:
            flat |= _flatten(inner, f"{prefix}.{key}" if prefix else key)
    return flat


def _short(value: JsonValue) -> str:
    text = json.dumps(value)
    return text if len(text) <= 20 else f"{text[:13]}...{text[-4:]}"  # noqa: PLR2004 - a hash's two ends
