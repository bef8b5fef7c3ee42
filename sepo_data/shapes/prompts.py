"""Prompts: the columns that can hold what comes before the responses, and how each is read into turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sepo_data.shapes import messages as turns
from sepo_data.shapes.record import Record, checked_text, objects_of
from sepo_data.shapes.skip_reasons import SkipRow
from sepo_data.shapes.transcripts import is_transcript, open_transcript
from sepo_data.shapes.value_types import mostly
from sepo_data.shapes.written import list_or_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from sepo_data.shapes.columns import Columns
    from sepo_data.shapes.pairs import Message


COUPLES = (
    ("user", "assistant"),
    ("user", "bot"),
    ("human", "assistant"),
    ("human", "gpt"),
    ("human", "bot"),
    ("question", "answer"),
    ("q", "a"),
    ("query", "response"),
    ("prompt", "response"),
    ("prompt", "completion"),
    ("instruction", "output"),
    ("input", "output"),
)
"""Keys of an object with what the user said and what the assistant said."""


@dataclass(frozen=True)
class Prompt:
    """A way to read the prompt of a row.

    Attributes:
        name: of the shape that it makes together with chosen and rejected.
        meaning: the columns and what they hold, as a sentence without its end.
        roles: of the columns.
        read: a module-level function, or a partial of one.
    """

    name: str
    meaning: str
    roles: tuple[str, ...]
    read: Callable[[Record], list[Message]]


def prompts(columns: Columns) -> list[Prompt]:
    """Every way that fits: `prompt` alone if it is present, and `messages` or `history` only if there is no other."""
    name = columns.names.get
    has_history = reads_history(columns)
    earlier = ("history",) if has_history or columns.are("unknown", "history") else ()
    before = f" after the turns of {name('history')}" if has_history else ""
    flat = columns.are("strings", "history")
    if columns.are("turns", "prompt"):
        return [Prompt("explicit messages", f"{name('prompt')} is a list of turns", ("prompt",), _prompt_turns)]
    if columns.are("string", "prompt"):
        if mostly(is_transcript(text) for (text,) in columns.values("prompt")):
            meaning = f"{name('prompt')} is a Human/Assistant transcript"
            return [Prompt("prompt string and messages", meaning, ("prompt",), _prompt_transcript)]
        meaning = f"the user says {name('prompt')}{before}"
        read = partial(_prompt, flat=flat)
        return [Prompt("prompt string and messages", meaning, ("prompt", *earlier), read)]
    found = []
    if columns.are(("string", "record"), "question"):
        meaning = f"the user says {name('question')}{before}"
        found.append(Prompt("question", meaning, ("question", *earlier), partial(_question, flat=flat)))
    if columns.are("string", "instruction"):
        below = f", with {name('input')} below it" if "input" in columns.names else ""
        meaning = f"the user says {name('instruction')}{below}{before}"
        found.append(Prompt("alpaca", meaning, ("instruction", "input", *earlier), partial(_alpaca, flat=flat)))
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


def reads_history(columns: Columns) -> bool:
    """True if `history` mostly holds the turns before the prompt; a list of texts does where the user has named it."""
    flat = columns.are("strings", "history") and "history" in columns.said
    if not flat and not columns.are(("lists", "turns", "records"), "history"):
        return False
    return mostly(found for record in columns.sample if (found := _has_turns(record, flat=flat)) is not None)


def _has_turns(record: Record, *, flat: bool) -> bool | None:
    """True if the history of this row can be read; None if it has none."""
    try:
        return True if _said_before(record, flat=flat) else None
    except SkipRow:
        return False


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


def _prompt(record: Record, *, flat: bool) -> list[Message]:
    return _after_history(record, record.text("prompt"), flat=flat)


def _question(record: Record, *, flat: bool) -> list[Message]:
    asked, place = _object_of(record.present("question")), record.name("question")
    if isinstance(asked, Mapping):  # WebGPT's
        return _after_history(record, checked_text(asked.get("full_text"), f"{place}.full_text"), flat=flat)
    return _after_history(record, checked_text(asked, place), flat=flat)


def _object_of(asked: object) -> object:
    """WebGPT's object, which CSV files hold as text; any other value is itself."""
    written = list_or_object(asked) if isinstance(asked, str) and "full_text" in asked else None
    return written if isinstance(written, Mapping) and "full_text" in written else asked


def _alpaca(record: Record, *, flat: bool) -> list[Message]:
    asked = record.text("instruction")
    more = "" if record.get("input") is None else record.text("input")
    return _after_history(record, f"{asked}\n\n{more}" if more.strip() else asked, flat=flat)


def _after_history(record: Record, asked: str, *, flat: bool) -> list[Message]:
    """The turns before the prompt and the prompt, which may be the last of these turns already."""
    before, last = _said_before(record, flat=flat), turns.user(asked)
    return before if before[-1:] == [last] else [*before, last]


def _said_before(record: Record, *, flat: bool) -> list[Message]:
    """The turns of a history: a list of turns, of [what the user said, what the assistant said] or of such objects.

    A list of texts is by the user and the assistant in turn, where it is `flat`.
    """
    place = record.names.get("history", "")
    before = objects_of(record.get("history"), place) or []
    if not isinstance(before, list):
        raise SkipRow("wrong_type", f"{place} is {type(before).__name__}, not a list")
    if before and turns.is_turn(before[0]):
        return turns.turn_list(before, place)
    if flat and all(isinstance(text, str) for text in before):
        if len(before) % 2:
            raise SkipRow("wrong_type", f"{place} has an odd number of texts")
        before = [list(both) for both in zip(before[::2], before[1::2], strict=True)]
    return [turn for number, both in enumerate(before) for turn in _question_and_answer(both, f"{place}[{number}]")]


def _question_and_answer(both: object, place: str) -> list[Message]:
    """The two turns of LLaMA-Factory's [what the user said, what the assistant said], or of an object with these."""
    if isinstance(both, Mapping):
        there = {str(key).casefold(): text for key, text in both.items() if text is not None}
        both = next(([there[asked], there[said]] for asked, said in COUPLES if there.keys() == {asked, said}), both)
    if not isinstance(both, list) or len(both) != 2:  # noqa: PLR2004 - a question and an answer
        raise SkipRow("wrong_type", f"{place} is no list of a question and an answer")
    asked, answered = (checked_text(text, place) for text in both)
    return [turns.user(asked), turns.assistant(answered)]


def _conversations(record: Record) -> list[Message]:
    return turns.turns(record, "conversations")


def _messages(record: Record) -> list[Message]:
    return turns.turns(record, "messages")


def _history(record: Record) -> list[Message]:
    return [turns.user(record.text("history"))]
