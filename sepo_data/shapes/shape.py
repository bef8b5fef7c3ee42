"""A preference shape: the meaning of a dataset's columns, and the pairs of each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sepo_data.console.text import listed
from sepo_data.shapes.messages import with_prefill, with_system
from sepo_data.shapes.pairs import Message, Pair, Text
from sepo_data.shapes.record import Record, Row, check_unicode, value_at
from sepo_data.shapes.skip_reasons import SkipRow
from sepo_data.shapes.tool_calls import template_kwargs, tools
from sepo_data.shapes.transcripts import check_marked_string, check_marks, check_prose, ended, unfolded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Parts = tuple[Text, Text, Text]
"""Prompt, chosen, rejected."""

ASKED = ("prompt", "question", "instruction", "input", "history")
"""Roles of texts that the user says."""

RESPONSES = ("chosen", "rejected", "response_a", "response_b")

SIDE = ("tools", "chat_template_kwargs")
"""Roles of columns for the chat template."""

BESIDE = ("system", "prefill", *SIDE)
"""Roles that add to a conversation of any shape."""


@dataclass(frozen=True)
class Shape:
    """The meaning of a dataset's columns.

    Attributes:
        name: as docs/datasets.md has it.
        description: one sentence for the user: the columns and their roles.
        columns: role to column, of all that are read.
        read: gives the parts of a row's pairs. A module-level function or a partial of one, so that a shape can be
            sent to another process.
        conversational: the parts are lists of messages.
        tokenized: the parts are lists of ids, whose texts are strings.
        written: roles whose columns hold JSON text.
        tool_turns: turns may have the further keys of `sepo_data.schemas.stages.TURN_KEYS`.
        side: the roles among `tools` and `chat_template_kwargs` that pairs carry for the chat template.
        unseen: columns that would be read, or refused, if the first rows had a value in them.
        unread: columns that are not read, in the order of the dataset.
        prose: roles whose columns hold texts; a row with a conversation written as text there is skipped.
    """

    name: str
    description: str
    columns: Mapping[str, str]
    read: Callable[[Record], Sequence[tuple[Any, Any, Any]]]
    conversational: bool = True
    tokenized: bool = False
    written: frozenset[str] = frozenset()
    tool_turns: bool = False
    side: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    prose: tuple[str, ...] = ()

    def to_pairs(self, number: int, row: Row, keep: Sequence[str]) -> list[Pair]:
        """The pairs of row `number` with the columns to `keep`: one at least, or SkipRow is raised."""
        if late := listed(column for column in self.unseen if value_at(row, column)):
            raise SkipRow("late_column", f"the first rows have no {late}: put a row that has it first, or --ignore it")
        record = Record(row, self.columns, self.written)
        for role in self.prose:
            check_prose(record.get(role), record.name(role), response=role in RESPONSES)
        parts = self.read(record)
        extra = {column: row.get(column) for column in keep if column not in self.side}
        check_unicode(extra, "a column to keep")
        if self.tokenized:
            return [Pair(number, "", "", "", extra, ids=ids) for ids in parts]
        if not self.conversational:
            return [Pair(number, *_checked(*strings), extra) for strings in parts]
        named, kwargs = tools(record), template_kwargs(record)
        return [Pair(number, *self._conversation(record, *each), extra, named, kwargs) for each in parts]

    def _conversation(
        self, record: Record, prompt: list[Message], chosen: list[Message], rejected: list[Message]
    ) -> Parts:
        from_text = any(role in ASKED for role in self.prose)
        if from_text:
            chosen, rejected = ended(prompt, chosen, rejected)
        _checked(prompt, chosen, rejected)
        prompt = unfolded(prompt, from_text=from_text)
        prompt = with_prefill(record, with_system(record, prompt))
        further = {key for turn in (*prompt, *chosen, *rejected) for key in turn} - {"role", "content"}
        if further and not self.tool_turns:
            raise SkipRow("tool_calls", f"a turn has {listed(sorted(further))}, the first rows have no such thing")
        return prompt, chosen, rejected


def _checked(prompt: Text, chosen: Text, rejected: Text) -> Parts:
    """The same, if it is a preference."""
    _check_response("chosen", chosen)
    _check_response("rejected", rejected)
    if chosen == rejected:
        raise SkipRow("equal_responses", "chosen is rejected")
    if isinstance(prompt, str):
        check_marked_string(prompt)
    elif not prompt:
        raise SkipRow("empty_prompt", "no turn comes before the response")
    _check_speakers("chosen", chosen)
    _check_speakers("rejected", rejected)
    return prompt, chosen, rejected


def _check_response(side: str, response: Text) -> None:
    if isinstance(response, str) or not response:
        if not isinstance(response, str) or not response.strip():
            raise SkipRow("empty_response", side)
        return
    last = response[-1]
    if last["role"] != "assistant":
        raise SkipRow("ends_in_user_turn", f"{side} ends in a {last['role']} turn")
    if not last["content"].strip() and "tool_calls" not in last:
        raise SkipRow("empty_response", side)


def _check_speakers(side: str, response: Text) -> None:
    for text in [response] if isinstance(response, str) else [turn["content"] for turn in response]:
        check_marks(side, text)
    if not isinstance(response, str) and (others := [turn for turn in response if turn["role"] != "assistant"]):
        raise SkipRow("other_speaker", f"{side} holds a {others[0]['role']} turn")
