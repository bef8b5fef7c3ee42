"""From the values of a row to text and turns, or the reason why a row cannot be used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from sepo_data.pairs import Message

REASONS: dict[str, str] = {
    # rows of text files
    "invalid_json": "The line is not JSON.",
    "invalid_utf8": "The text is not UTF-8.",
    "not_an_object": "The JSON value is not an object, so it has no columns.",
    "wrong_number_of_fields": "The CSV record has more or fewer fields than the header.",
    # values
    "missing_column": "The row lacks a column that its dataset has.",
    "null": "A value that is needed is null.",
    "wrong_type": "A value has another type than in the other rows.",
    "invalid_unicode": "A text holds half of a surrogate pair, which no tokenizer and no file can take.",
    # turns
    "unknown_role": "A turn is by somebody other than system, user or assistant.",
    "tool_calls": "A turn calls a tool, which a list of role and content cannot say.",
    "two_system_turns": "The system column and the system turn of the conversation differ.",
    # pairs
    "empty_prompt": "The conversation begins with the response.",
    "prompt_mismatch": "The prompt column is no user turn of the conversation that both responses continue.",
    "no_shared_turn": "The two transcripts share no beginning that ends where the assistant speaks.",
    "empty_response": "A response is empty or white space.",
    "ends_in_user_turn": "A response does not end in an assistant turn.",
    "other_speaker": "A response holds a turn that is not the assistant's: its words would be scored and trained on.",
    "equal_responses": "Both responses are the same: nothing is preferred.",
    "unknown_label": "The label says neither 1 (A is preferred) nor 0 (B is).",
}
"""Every reason for which reading sets a row aside, in one sentence each."""

ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}


class BadRow(Exception):  # noqa: N818 - it names what was found; nothing went wrong in the program
    """This row cannot be used: a key of REASONS, and what it was in this row."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def is_turn(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, Mapping) and ("role" in value or "from" in value)


def text(row: Mapping[str, object], column: str) -> str:
    """A string, as it stands."""
    return _text(_present(row, column), column)


def turns(row: Mapping[str, object], column: str) -> list[Message]:
    """A list of `{role, content}` or of ShareGPT's `{from, value}`."""
    value = _present(row, column)
    if not isinstance(value, list):
        raise BadRow("wrong_type", f"{column} is {type(value).__name__}, not a list of turns")
    return [_turn(turn, f"{column}[{index}]") for index, turn in enumerate(value)]


def answer(row: Mapping[str, object], column: str) -> list[Message]:
    """Turns from a list, from one turn, or from a string that the assistant said."""
    value = _present(row, column)
    if isinstance(value, str):
        return [{"role": "assistant", "content": _text(value, column)}]
    return [_turn(value, column)] if is_turn(value) else turns(row, column)


def user(content: str) -> Message:
    return {"role": "user", "content": content}


def assistant(content: str) -> Message:
    return {"role": "assistant", "content": content}


def with_system(row: Mapping[str, object], prompt: list[Message]) -> list[Message]:
    """The prompt under the row's system text, where it has one."""
    system = row.get("system")
    if system is None or not _text(system, "system").strip():
        return prompt
    turn = {"role": "system", "content": _text(system, "system")}
    if prompt and prompt[0]["role"] == "system":
        if prompt[0] != turn:
            raise BadRow("two_system_turns", "the system column is not the system turn of the conversation")
        return prompt
    return [turn, *prompt]


def check_unicode(value: object, column: str) -> None:
    """Refuse half surrogate pairs anywhere in a value: JSON can spell them, UTF-8 cannot."""
    if isinstance(value, str):
        _text(value, column)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            check_unicode(key, column)
            check_unicode(inner, column)
    elif isinstance(value, list):
        for inner in value:
            check_unicode(inner, column)


def split_at_turn(chosen: list[Message], rejected: list[Message]) -> int:
    """How many whole turns both share, leaving at least one to each."""
    most = max(0, min(len(chosen), len(rejected)) - 1)
    return next((turn for turn in range(most) if chosen[turn] != rejected[turn]), most)


def split_at_word(chosen: str, rejected: str) -> int:
    """Where the words that both share end, leaving at least one character to each.

    The space before the next word goes with that word, as tokenizers have it.
    """
    shared = _shared_start(chosen, rejected)
    end = min(len(shared), len(chosen) - 1, len(rejected) - 1)
    while end > 0 and not shared[end - 1].isspace():
        end -= 1
    return end - 1 if end > 0 and shared[end - 1] == " " else max(end, 0)


_SPEAKER = re.compile(r"\n\n(Human|Assistant):")


def is_transcript(value: object) -> bool:
    """HH-RLHF's way to write a conversation into one string."""
    return isinstance(value, str) and value.startswith("\n\nHuman:") and "\n\nAssistant:" in value


def transcripts(chosen: str, rejected: str) -> tuple[list[Message], str, str]:
    """The turns that two HH-RLHF transcripts share, and what follows in each, as it stands.

    The prompt ends at the last `Assistant:` of the common beginning. What follows is not parsed: a reply may hold
    the speakers' names itself.
    """
    cue = "\n\nAssistant:"
    shared = _shared_start(chosen, rejected)
    end = shared.rfind(cue)
    if end < 0 or not shared.startswith("\n\nHuman:"):
        raise BadRow("no_shared_turn", "chosen and rejected share no beginning from Human: to Assistant:")
    _, *parts = _SPEAKER.split(shared[:end])
    prompt = [
        user(_said(content)) if speaker == "Human" else assistant(_said(content))
        for speaker, content in zip(parts[::2], parts[1::2], strict=True)
    ]
    return prompt, _said(chosen[end + len(cue) :]), _said(rejected[end + len(cue) :])


def _shared_start(a: str, b: str) -> str:
    pairs = enumerate(zip(a, b, strict=False))
    return a[: next((at for at, (x, y) in pairs if x != y), min(len(a), len(b)))]


def _said(content: str) -> str:
    return content.removeprefix(" ").rstrip()


def _present(row: Mapping[str, object], column: str) -> object:
    if column not in row:
        raise BadRow("missing_column", column)
    if row[column] is None:
        raise BadRow("null", column)
    return row[column]


def _text(value: object, place: str) -> str:
    if value is None:
        raise BadRow("null", place)
    if not isinstance(value, str):
        raise BadRow("wrong_type", f"{place} is {type(value).__name__}, not a string")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadRow("invalid_unicode", f"{place}, character {error.start}") from None
    return value


def _turn(turn: object, place: str) -> Message:
    if not is_turn(turn):
        raise BadRow("wrong_type", f"{place} is no turn of role and content")
    if turn.get("tool_calls"):
        raise BadRow("tool_calls", place)
    # Arrow gives every struct every key, so both spellings may be there and one of them null.
    keys = ("from", "value") if turn.get("role") is None else ("role", "content")
    role, content = (_text(turn.get(key), f"{place}.{key}") for key in keys)
    if role not in ROLES:
        raise BadRow("unknown_role", f"{place} is by {role}")
    return {"role": ROLES[role], "content": content}
