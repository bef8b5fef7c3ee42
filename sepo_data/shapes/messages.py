"""Turns of a conversation, read from the values of a row, or the reason for which the row is skipped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeGuard

from sepo_data.schemas.stages import TURN_KEYS
from sepo_data.shapes.record import are_turns_by_key, check_size, checked_text, objects_of, shown
from sepo_data.shapes.skip_reasons import SkipRow
from sepo_data.shapes.tool_calls import called, tool_calls

if TYPE_CHECKING:
    from sepo_data.shapes.pairs import Message
    from sepo_data.shapes.record import Record

SPEAKERS = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "tool": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "function": "tool",
    "ipython": "tool",
}
"""Names of speakers in the formats: OpenAI's, ShareGPT's, Open Assistant's, Gemini's, LLaMA-Factory's, ms-swift's,
Llama's; in capitals or not."""

CALLS = ("function_call", "tool_call")
"""Speakers whose content is the JSON text of a tool call by the assistant."""


def is_turn(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, Mapping) and ("role" in value or "from" in value) and not are_turns_by_key(value)


def speaker(turn: object) -> str | None:
    """The speaker, as a value of SPEAKERS; None if there is none, or an unknown one."""
    if not is_turn(turn):
        return None
    said_by = turn.get("from") if turn.get("role") is None else turn["role"]
    return "assistant" if said_by in CALLS else SPEAKERS.get(said_by.lower()) if isinstance(said_by, str) else None


def words_of(turn: Mapping[str, object]) -> object:
    """The content of a turn, by any of its names: Gemini's are parts."""
    return next((turn[key] for key in ("content", "value", "parts") if turn.get(key) is not None), None)


def turns(record: Record, role: str) -> list[Message]:
    """A list of `{role, content}` or of ShareGPT's `{from, value}`."""
    return turn_list(record.present(role), record.name(role))


def turn_list(value: object, place: str) -> list[Message]:
    """The same for a value that was found in `place`."""
    if are_turns_by_key(value):
        value = objects_of(value, place)
    if not isinstance(value, list):
        raise SkipRow("wrong_type", f"{place} is {type(value).__name__}, not a list of turns")
    found = [_turn(turn, f"{place}[{index}]") for index, turn in enumerate(value)]
    check_size(sum(len(turn["content"]) for turn in found), place)
    return found


def answer(record: Record, role: str) -> list[Message]:
    """Turns from a list, from one turn, or from a string of the assistant."""
    return answer_turns(record.present(role), record.name(role))


def answer_turns(value: object, place: str) -> list[Message]:
    """The same for a value that was found in `place`."""
    if isinstance(value, str):
        return [assistant(checked_text(value, place))]
    return [_turn(value, place)] if is_turn(value) else turn_list(value, place)


def user(content: str) -> Message:
    return {"role": "user", "content": content}


def assistant(content: str) -> Message:
    return {"role": "assistant", "content": content}


def with_system(record: Record, prompt: list[Message]) -> list[Message]:
    """The prompt below the row's system text, if it has one."""
    if record.get("system") is None or not (system := _system_text(record)).strip():
        return prompt
    turn = {"role": "system", "content": system}
    if prompt and prompt[0]["role"] == "system":
        if prompt[0] != turn:
            raise SkipRow("two_system_turns", f"{record.name('system')} is not the system turn of the conversation")
        return prompt
    return [turn, *prompt]


def with_prefill(record: Record, prompt: list[Message]) -> list[Message]:
    """The prompt before the text that both responses continue, a turn of the assistant, if the row has one."""
    begun = "" if record.get("prefill") is None else record.text("prefill")
    return [*prompt, assistant(begun)] if begun else prompt


def _system_text(record: Record) -> str:
    """The system text: a string, a system turn, or a list of one of these."""
    value, place = record.get("system"), record.name("system")
    if isinstance(value, list) and len(value) <= 1:
        value = value[0] if value else ""
    if not is_turn(value):
        return checked_text(value, place)
    turn = _turn(value, place)
    if turn["role"] != "system":
        raise SkipRow("wrong_type", f"{place} is a turn of the {turn['role']}")
    return str(turn["content"])


def shared_turns(chosen: list[Message], rejected: list[Message]) -> tuple[list[Message], list[Message], list[Message]]:
    """The complete turns that both dialogues share, and the rest of each: one turn at least."""
    most = max(0, min(len(chosen), len(rejected)) - 1)
    end = next((turn for turn in range(most) if chosen[turn] != rejected[turn]), most)
    return chosen[:end], chosen[end:], rejected[end:]


def _turn(turn: object, place: str) -> Message:
    if not is_turn(turn):
        raise SkipRow("wrong_type", f"{place} is no turn of role and content")
    # Arrow gives every struct every key, so both spellings may be present and one of them null.
    name, words = ("from", "value") if turn.get("role") is None else ("role", "content")
    said_by = checked_text(turn.get(name), f"{place}.{name}")
    if said_by in CALLS:
        return {**assistant(""), "tool_calls": called(turn.get(words), f"{place}.{words}")}
    if said_by.lower() not in SPEAKERS:
        raise SkipRow("unknown_role", f"{place} is by {said_by[:40]}")
    further: dict[str, object] = {}
    if isinstance(turn.get("reasoning"), str) and not turn.get("reasoning_content"):
        turn = {**turn, "reasoning_content": turn["reasoning"]}  # templates that read one of them read this one
    for key in TURN_KEYS:
        if (value := turn.get(key)) not in (None, "", []):
            further[key] = (tool_calls if key == "tool_calls" else checked_text)(value, f"{place}.{key}")
    content = turn.get(words) if turn.get(words) is not None else turn.get("parts")
    if content is None and "tool_calls" in further:
        content = ""
    return {"role": SPEAKERS[said_by.lower()], "content": _content(content, f"{place}.{words}"), **further}


def _content(content: object, place: str) -> str:
    """A string, or the texts of a list of parts `{type: text, text}` or `{text}`; a picture is no text."""
    if isinstance(content, list) and content and all(_is_text_part(part) for part in content):
        return "".join(checked_text(part["text"], place) for part in content)
    if isinstance(content, list) and (kinds := [part["type"] for part in content if _is_other_part(part)]):
        raise SkipRow("wrong_type", f"{place} has a part of type {shown(kinds[0])}, and only text can be read")
    return checked_text(content, place)


def _is_other_part(part: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(part, Mapping) and part.get("type") not in (None, "text")


def _is_text_part(part: object) -> bool:
    """True for the parts of OpenAI and Anthropic, and for those of Gemini and Bedrock, which have no type."""
    if not isinstance(part, Mapping) or part.get("text") is None:
        return False
    bare = [key for key, value in part.items() if value is not None] == ["text"]
    return bare or part.get("type") == "text"
