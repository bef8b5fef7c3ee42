"""Preference pairs: the result of reading a row, and the input of every later stage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sepo_data.shapes.skip_reasons import CODES

PairChoice = Literal["best-worst", "all", "adjacent"]
"""The pairs of a row of ranked responses: the best and the worst, any two, or each and the next best."""

Message = Mapping[str, Any]
"""One turn: `{"role": ..., "content": ...}`, and those of `sepo_data.schemas.stages.TURN_KEYS` that it has."""

Text = str | list[Message]
"""A prompt or a response, as TRL names them: a string, or a list of messages."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt with a preferred and a dispreferred response: all three strings, or all three message lists.

    Attributes:
        source_row: number of the input row; a row of ranked responses gives several pairs.
        prompt: the text or turns before the response.
        chosen: the preferred response.
        rejected: the dispreferred response.
        extra: the columns to keep, as they are in the input.
        tools: descriptions of tools, for the chat template.
        template_kwargs: further variables for the chat template.
        ids: prompt, chosen and rejected of a row that is tokenized already; its texts are empty until they are decoded.
    """

    source_row: int
    prompt: Text
    chosen: Text
    rejected: Text
    extra: Mapping[str, object] = field(default_factory=dict)
    tools: list[Any] | None = None
    template_kwargs: Mapping[str, Any] | None = None
    ids: tuple[list[int], list[int], list[int]] | None = None

    @property
    def conversational(self) -> bool:
        return not isinstance(self.prompt, str)

    @property
    def pair_id(self) -> str:
        """16 hex digits of the SHA-256 of the canonical JSON of (prompt, chosen, rejected) and what `_beside` gives.

        Of the ids, until they are decoded.
        """
        if self.ids is not None and not self.chosen:
            return _digest(self.ids)
        parts: list[object] = [self.prompt, self.chosen, self.rejected]
        beside = self._beside()
        return _digest([*parts, beside] if beside else parts)

    @property
    def prompt_id(self) -> str:
        """The same of the prompt alone, or of its ids if it came as ids: equal for all pairs with one prompt."""
        return _digest(self.prompt if self.ids is None else self.ids[0])

    def _beside(self) -> dict[str, str]:
        """The rest of it that decides its tokens, as JSON text: templates write keys in the order in which they come.

        Tool calls count only where their keys are in another order than the usual one, for they are in the messages.
        """
        turns = [turn for part in (self.prompt, self.chosen, self.rejected) if isinstance(part, list) for turn in part]
        calls = [turn["tool_calls"] for turn in turns if "tool_calls" in turn]
        found = {
            "tools": self.tools,
            "chat_template_kwargs": dict(sorted(self.template_kwargs.items())) if self.template_kwargs else None,
            "tool_calls": calls if calls and json_text(calls) != json_text(_in_usual_order(calls)) else None,
        }
        return {name: json_text(value) for name, value in found.items() if value is not None}


USUAL_ORDER = ("id", "type", "function", "name", "arguments")
"""The keys of a tool call in the order that most datasets have; any others are usual in alphabetical order."""


def _in_usual_order(value: object) -> object:
    if isinstance(value, list):
        return [_in_usual_order(inner) for inner in value]
    if not isinstance(value, Mapping):
        return value
    usual = [key for key in USUAL_ORDER if key in value]
    return {key: _in_usual_order(value[key]) for key in [*usual, *sorted(value.keys() - USUAL_ORDER)]}


def json_text(value: object) -> str:
    """JSON text as tool calls and side columns are stored."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _digest(content: object) -> str:
    import hashlib  # 7 ms, which `sepo --help` does not need

    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """An input row, or a pair of it, that was skipped: one line of `skipped.jsonl`."""

    row: int
    reason: str
    detail: str

    def __post_init__(self) -> None:
        if self.reason not in CODES:
            raise ValueError(f"{self.reason!r} is no reason to skip a row; known: {', '.join(sorted(CODES))}")
