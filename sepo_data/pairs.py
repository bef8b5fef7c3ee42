"""One preference pair, as every source is read into and every later stage works on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

Message = Mapping[str, str]
"""One turn: `{"role": ..., "content": ...}`."""

Text = str | list[Message]
"""A prompt or a response, as TRL names them: a string, or a list of messages."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt with a preferred and a dispreferred response: all three strings, or all three message lists."""

    source_row: int
    prompt: Text
    chosen: Text
    rejected: Text
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def conversational(self) -> bool:
        return not isinstance(self.prompt, str)

    @property
    def pair_id(self) -> str:
        """16 hex digits of the SHA-256 of the canonical JSON of (prompt, chosen, rejected)."""
        canonical = json.dumps(
            [self.prompt, self.chosen, self.rejected], ensure_ascii=False, sort_keys=True, separators=(",", ":")
        )
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """An input row that was set aside: one line of `skipped.jsonl`."""

    row: int
    reason: str
    detail: str
