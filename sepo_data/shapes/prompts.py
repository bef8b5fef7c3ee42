"""Prompts: the columns that can hold what comes before the responses, and how each is read into turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sepo_data.shapes import messages as turns
from sepo_data.shapes.record import Record, checked_text
from sepo_data.shapes.skip_reasons import SkipRow
from sepo_data.shapes.transcripts import is_transcript, open_transcript
from sepo_data.shapes.value_types import mostly

if TYPE_CHECKING:
    from collections.abc import Callable

    from sepo_data.shapes.columns import Columns
    from sepo_data.shapes.pairs import Message


@dataclass(frozen=True)
class Prompt:
    """A way to read the prompt of a row.

    Attributes:
        name: of the shape that it makes together with chosen and rejected.
        meaning: the columns and what they hold, as a sentence without its end.
        roles: of the columns.
        read: a module-level function.
    """

    name: str
    meaning: str
    roles: tuple[str, ...]
    read: Callable[[Record], list[Message]]


def prompts(columns: Columns) -> list[Prompt]:
    """Every way that fits: `prompt` alone if it is present, and `messages` or `history` only if there is no other."""
    name = columns.names.get
    earlier = ("history",) if columns.are(("lists", "unknown"), "history") else ()
    before = f" after the turns of {name('history')}" if columns.are("lists", "history") else ""
    if columns.are("turns", "prompt"):
        return [Prompt("explicit messages", f"{name('prompt')} is a list of turns", ("prompt",), _prompt_turns)]
    if columns.are("string", "prompt"):
        if mostly(is_transcript(text) for (text,) in columns.values("prompt")):
            meaning = f"{name('prompt')} is a Human/Assistant transcript"
            return [Prompt("prompt string and messages", meaning, ("prompt",), _prompt_transcript)]
        meaning = f"the user says {name('prompt')}{before}"
        return [Prompt("prompt string and messages", meaning, ("prompt", *earlier), _prompt if earlier else _asked)]
    found = []
    if columns.are(("string", "record"), "question"):
        found.append(Prompt("question", f"the user says {name('question')}", ("question",), _question))
    if columns.are("string", "instruction"):
        below = f", with {name('input')} below it" if "input" in columns.names else ""
        meaning = f"the user says {name('instruction')}{below}{before}"
        found.append(Prompt("alpaca", meaning, ("instruction", "input", *earlier), _alpaca))
    if columns.are("turns", "conversations"):
        meaning = f"{name('conversations')} is a list of turns"
        found.append(Prompt("sharegpt", meaning, ("conversations",), _conversations))
    return found or _last_resort(columns)


def rival_prompts(roles: Mapping[str, str], columns: Columns) -> list[str]:
    """Columns that could be the prompt as well as the one that is read.

    A prompt made out of another column holds its text; and dialogues are unambiguous about the column that they repeat.
    """
    asked = next((role for role in ("prompt", "question") if role in roles), None)
    if asked is None or columns.said & {"prompt", "question"} or columns.are("turns", "chosen", "rejected"):
        return []
    found = []
    for other in ("question", "instruction", "input"):
        rows = [(record.row.get(roles[asked]), record.row.get(other)) for record in columns.sample]
        texts = [(a, b) for a, b in rows if isinstance(a, str) and isinstance(b, str) and a.strip() and b.strip()]
        if other not in roles.values() and mostly(b.strip() not in a for a, b in texts):
            found.append(other)
    return found


def _last_resort(columns: Columns) -> list[Prompt]:
    found = []
    if columns.are("turns", "messages") and not end_in_answer(columns):
        meaning = f"{columns.names['messages']} is a list of turns"
        found.append(Prompt("sharegpt", meaning, ("messages",), _messages))
    if columns.are("string", "history"):
        found.append(Prompt("question", f"the user says {columns.names['history']}", ("history",), _history))
    return found


def end_in_answer(columns: Columns) -> bool:
    """True if the dialogues in messages mostly end with the assistant, and so hold a response."""
    lists = (value for (value,) in columns.values("messages") if isinstance(value, list) and value)
    return mostly(turns.speaker(value[-1]) == "assistant" for value in lists)


def whole_dialogues(columns: Columns, *roles: str) -> bool:
    """True if these are lists of turns that mostly open with another speaker than the assistant."""
    if not columns.are("turns", *roles):
        return False
    lists = (values[0] for values in columns.values(roles[0]))
    return mostly(turns.speaker(value[0]) != "assistant" for value in lists if isinstance(value, list) and value)


def _prompt_turns(record: Record) -> list[Message]:
    return turns.turns(record, "prompt")


def _prompt_transcript(record: Record) -> list[Message]:
    return open_transcript(record.text("prompt"), record.name("prompt"))


def _asked(record: Record) -> list[Message]:
    return [turns.user(record.text("prompt"))]


def _prompt(record: Record) -> list[Message]:
    return [*_said_before(record), *_asked(record)]


def _question(record: Record) -> list[Message]:
    asked, place = record.present("question"), record.name("question")
    if isinstance(asked, Mapping):  # WebGPT's
        return [turns.user(checked_text(asked.get("full_text"), f"{place}.full_text"))]
    return [turns.user(checked_text(asked, place))]


def _alpaca(record: Record) -> list[Message]:
    asked = record.text("instruction")
    more = "" if record.get("input") is None else record.text("input")
    return [*_said_before(record), turns.user(f"{asked}\n\n{more}" if more.strip() else asked)]


def _said_before(record: Record) -> list[Message]:
    """LLaMA-Factory's history: a list of [what the user said, what the assistant said]."""
    place = record.names.get("history", "")
    before = record.get("history") or []
    said: list[Message] = []
    if not isinstance(before, list):
        raise SkipRow("wrong_type", f"{place} is {type(before).__name__}, not a list")
    for number, both in enumerate(before):
        if not isinstance(both, list) or len(both) != 2:  # noqa: PLR2004 - a question and an answer
            raise SkipRow("wrong_type", f"{place}[{number}] is no list of a question and an answer")
        asked, answered = (checked_text(text, f"{place}[{number}]") for text in both)
        said += [turns.user(asked), turns.assistant(answered)]
    return said


def _conversations(record: Record) -> list[Message]:
    return turns.turns(record, "conversations")


def _messages(record: Record) -> list[Message]:
    return turns.turns(record, "messages")


def _history(record: Record) -> list[Message]:
    return [turns.user(record.text("history"))]
