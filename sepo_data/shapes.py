"""Which preference shape a dataset has: what its columns mean, told from their names and their first values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from schemas.errors import SepoError
from sepo_data import turns
from sepo_data.pairs import Message, Pair, Text
from sepo_data.suggest import did_you_mean, listed
from sepo_data.turns import REASONS, BadRow, answer, text

__all__ = ["REASONS", "BadRow", "Shape", "detect_shape"]

Value = Mapping[str, object]
Sample = Sequence[Value]
Kinds = Mapping[str, str]
"""Column to what most of its first values are: string, turn, turns, other, or unknown where all are null."""

NEARLY_ALL = 0.9

Parts = tuple[Text, Text, Text]
"""Prompt, chosen, rejected."""


@dataclass(frozen=True)
class Shape:
    """What the columns of a dataset mean. `to_pair(row number, row, columns to keep)` may raise BadRow."""

    name: str
    description: str  # one sentence for the user: which column plays which role
    conversational: bool
    to_pair: Callable[[int, Value, Sequence[str]], Pair]


def detect_shape(columns: Sequence[str], sample: Sample) -> Shape:
    """The shape that fits column names and first rows. A tier is tried only if none of those before fits."""
    kinds = {column: _kind([row.get(column) for row in sample]) for column in columns}
    for tier in TIERS:
        fitting = [shape for shape in (fit(kinds, sample) for fit in tier) if shape]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise SepoError(
                "the columns fit more than one shape: " + " Or: ".join(shape.description for shape in fitting),
                "drop or rename the columns that hold no prompt",
            )
    raise _no_shape(kinds)


# Shapes with a prompt column.


def _explicit_strings(kinds: Kinds, _: Sample) -> Shape | None:
    if not _are(kinds, "string", "prompt", "chosen", "rejected") or "system" in kinds:
        return None

    def parts(row: Value) -> Parts:
        return text(row, "prompt"), text(row, "chosen"), text(row, "rejected")

    return _shape(
        "explicit strings", "prompt, chosen and rejected are strings, taken as they are.", parts, strings=True
    )


def _system_and_prompt(kinds: Kinds, _: Sample) -> Shape | None:
    if not _are(kinds, "string", "prompt", "chosen", "rejected") or "system" not in kinds:
        return None
    return _prompt_string("prompt", "system and prompt")


def _explicit_messages(kinds: Kinds, _: Sample) -> Shape | None:
    if not _are(kinds, "turns", "prompt") or not _have_answers(kinds):
        return None
    return _prompt_turns("prompt", "explicit messages")


def _prompt_then_messages(kinds: Kinds, sample: Sample) -> Shape | None:
    if not _are(kinds, "string", "prompt") or not _have_messages(kinds) or _whole_dialogues(sample):
        return None
    return _prompt_string("prompt", "prompt string and messages")


def _dialogues_with_prompt(kinds: Kinds, sample: Sample) -> Shape | None:
    """UltraFeedback-binarized: the prompt column only repeats a turn of both dialogues."""
    if not _are(kinds, "string", "prompt") or not _have_messages(kinds) or not _whole_dialogues(sample):
        return None

    def parts(row: Value) -> Parts:
        asked = text(row, "prompt").strip()
        prompt, chosen, rejected = _shared_turns(row)
        if not any(turn["role"] == "user" and turn["content"].strip() == asked for turn in prompt):
            raise BadRow("prompt_mismatch", "no user turn before the responses is the prompt column")
        return prompt, chosen, rejected

    meaning = "chosen and rejected are whole dialogues; the prompt is what both share, and has the prompt column in it."
    return _shape("dialogues with prompt", meaning, parts)


# Shapes with another prompt column.


def _question(kinds: Kinds, _: Sample) -> Shape | None:
    if not _are(kinds, "string", "question") or not _have_answers(kinds):
        return None
    return _prompt_string("question", "question")


def _alpaca(kinds: Kinds, _: Sample) -> Shape | None:
    if not _are(kinds, "string", "instruction") or not _have_answers(kinds):
        return None

    def parts(row: Value) -> Parts:
        asked = text(row, "instruction")
        more = text(row, "input") if row.get("input") is not None else ""
        return _after([turns.user(f"{asked}\n\n{more}" if more.strip() else asked)], row)

    meaning = "the user says instruction, with input below it; chosen and rejected are the assistant's answers."
    return _shape("alpaca", meaning, parts)


def _sharegpt(kinds: Kinds, _: Sample) -> Shape | None:
    if not _are(kinds, "turns", "conversations") or not _have_answers(kinds):
        return None
    return _prompt_turns("conversations", "sharegpt")


def _shp(kinds: Kinds, _: Sample) -> Shape | None:
    if not _are(kinds, "string", "history", "human_ref_A", "human_ref_B") or "labels" not in kinds:
        return None

    def parts(row: Value) -> Parts:
        a, b = answer(row, "human_ref_A"), answer(row, "human_ref_B")
        label = row.get("labels")
        if label in (1, "1"):
            return [turns.user(text(row, "history"))], a, b
        if label in (0, "0"):
            return [turns.user(text(row, "history"))], b, a
        raise BadRow("unknown_label", f"labels is {label!r}")

    meaning = "the user says history; human_ref_A is chosen where labels is 1, human_ref_B where it is 0."
    return _shape("shp", meaning, parts)


# Shapes without a prompt column.


def _implicit_messages(kinds: Kinds, _: Sample) -> Shape | None:
    if not _are(kinds, "turns", "chosen", "rejected"):
        return None
    meaning = "chosen and rejected are whole dialogues, lists of turns; the prompt is the turns that both share."
    return _shape("implicit messages", meaning, _shared_turns)


def _hh_transcripts(kinds: Kinds, sample: Sample) -> Shape | None:
    if not _are(kinds, "string", "chosen", "rejected") or not _are_transcripts(sample):
        return None

    def parts(row: Value) -> Parts:
        prompt, chosen, rejected = turns.transcripts(text(row, "chosen"), text(row, "rejected"))
        return prompt, [turns.assistant(chosen)], [turns.assistant(rejected)]

    meaning = "chosen and rejected are Human/Assistant transcripts; the prompt is the turns that both share."
    return _shape("hh transcripts", meaning, parts)


def _implicit_strings(kinds: Kinds, sample: Sample) -> Shape | None:
    """Only where nearly all sampled rows share a beginning: else the prompt is in a column nobody has recognized."""
    if not _are(kinds, "string", "chosen", "rejected") or _are_transcripts(sample):
        return None
    different = [(a, b) for a, b in _strings(sample) if a != b]
    if sum(turns.split_at_word(a, b) > 0 for a, b in different) < NEARLY_ALL * len(different):
        return None

    def parts(row: Value) -> Parts:
        chosen, rejected = text(row, "chosen"), text(row, "rejected")
        end = turns.split_at_word(chosen, rejected)
        return chosen[:end], chosen[end:], rejected[end:]

    meaning = "chosen and rejected are strings with the prompt inside; the prompt is the words that both begin with."
    return _shape("implicit strings", meaning, parts, strings=True)


TIERS: tuple[tuple[Callable[[Kinds, Sample], Shape | None], ...], ...] = (
    (_explicit_strings, _system_and_prompt, _explicit_messages, _prompt_then_messages, _dialogues_with_prompt),
    (_question, _alpaca, _sharegpt, _shp),
    (_implicit_messages, _hh_transcripts, _implicit_strings),
)
"""Every shape, TRL's own names first. A new one is a function here; two that fit within a tier are an error."""


# What the shapes have in common.


def _shape(name: str, description: str, parts: Callable[[Value], Parts], *, strings: bool = False) -> Shape:
    def to_pair(number: int, row: Value, keep: Sequence[str]) -> Pair:
        prompt, chosen, rejected = parts(row)
        _check_response("chosen", chosen)
        _check_response("rejected", rejected)
        if chosen == rejected:
            raise BadRow("equal_responses", "chosen is rejected")
        if not isinstance(prompt, str) and not prompt:
            raise BadRow("empty_prompt", "no turn comes before the response")
        _check_speakers("chosen", chosen)
        _check_speakers("rejected", rejected)
        if not isinstance(prompt, str):
            prompt = turns.with_system(row, prompt)
        extra = {column: row.get(column) for column in keep}
        turns.check_unicode(extra, "a column to keep")
        return Pair(number, prompt, chosen, rejected, extra)

    return Shape(name, description, not strings, to_pair)


def _check_response(side: str, response: Text) -> None:
    if not isinstance(response, str) and response and response[-1]["role"] != "assistant":
        raise BadRow("ends_in_user_turn", f"{side} ends in a {response[-1]['role']} turn")
    last = response if isinstance(response, str) else response[-1]["content"] if response else ""
    if not last.strip():
        raise BadRow("empty_response", side)


def _check_speakers(side: str, response: Text) -> None:
    if not isinstance(response, str) and (others := [turn for turn in response if turn["role"] != "assistant"]):
        raise BadRow("other_speaker", f"{side} holds a {others[0]['role']} turn")


def _prompt_string(column: str, name: str) -> Shape:
    def parts(row: Value) -> Parts:
        return _after([turns.user(text(row, column))], row)

    meaning = f"the user says {column}, under the system text if there is a system column; chosen and rejected answer."
    return _shape(name, meaning, parts)


def _prompt_turns(column: str, name: str) -> Shape:
    def parts(row: Value) -> Parts:
        return _after(turns.turns(row, column), row)

    return _shape(name, f"{column} is a list of turns; chosen and rejected are what the assistant says next.", parts)


def _after(prompt: list[Message], row: Value) -> Parts:
    """Both answers, without the prompt where they repeat it."""
    chosen, rejected = answer(row, "chosen"), answer(row, "rejected")
    repeats = [side[: len(prompt)] == prompt for side in (chosen, rejected)]
    if prompt and all(repeats):
        return prompt, chosen[len(prompt) :], rejected[len(prompt) :]
    if prompt and any(repeats):
        raise BadRow("prompt_mismatch", "one response repeats the prompt and the other does not")
    return prompt, chosen, rejected


def _shared_turns(row: Value) -> tuple[list[Message], list[Message], list[Message]]:
    chosen, rejected = turns.turns(row, "chosen"), turns.turns(row, "rejected")
    end = turns.split_at_turn(chosen, rejected)
    return chosen[:end], chosen[end:], rejected[end:]


def _kind(values: Sequence[object]) -> str:
    kinds = Counter(_kind_of(value) for value in values if value is not None and value != [])
    return kinds.most_common(1)[0][0] if kinds else "unknown"


def _kind_of(value: object) -> str:
    if isinstance(value, str):
        return "string"
    if turns.is_turn(value):
        return "turn"
    return "turns" if isinstance(value, list) and turns.is_turn(value[0]) else "other"


def _are(kinds: Kinds, kind: str, *columns: str) -> bool:
    return all(kinds.get(column) == kind for column in columns)


def _have_answers(kinds: Kinds) -> bool:
    return all(kinds.get(column) in ("string", "turn", "turns") for column in ("chosen", "rejected"))


def _have_messages(kinds: Kinds) -> bool:
    return _have_answers(kinds) and not _are(kinds, "string", "chosen", "rejected")


def _whole_dialogues(sample: Sample) -> bool:
    """Whether chosen opens with somebody other than the assistant."""
    lists = (value for value in (row.get("chosen") for row in sample) if isinstance(value, list) and value)
    firsts = [value[0] for value in lists if turns.is_turn(value[0])]
    return _mostly(turns.ROLES.get(str(turn.get("role") or turn.get("from"))) != "assistant" for turn in firsts)


def _are_transcripts(sample: Sample) -> bool:
    return _mostly(turns.is_transcript(a) and turns.is_transcript(b) for a, b in _strings(sample))


def _strings(sample: Sample) -> list[tuple[str, str]]:
    both = ((row.get("chosen"), row.get("rejected")) for row in sample)
    return [(a, b) for a, b in both if a and b and isinstance(a, str) and isinstance(b, str)]


def _mostly(answers: Iterable[bool]) -> bool:
    said = list(answers)
    return sum(said) > len(said) / 2


def _no_shape(kinds: Kinds) -> SepoError:
    message = (
        f"the columns fit no preference shape: {listed(f'{column} ({kind})' for column, kind in kinds.items())}."
        " Looked for chosen and rejected, as strings or lists of turns, beside prompt, question, instruction or"
        " conversations, or with the prompt inside both; and for history, human_ref_A, human_ref_B and labels"
    )
    if _are(kinds, "string", "chosen", "rejected"):
        message += ". Here chosen and rejected do not begin alike, so the prompt has to be a column of its own"
    missing = [column for column in ("prompt", "chosen", "rejected") if column not in kinds]
    near = [f"for {column}, {guess}" for column in missing if (guess := did_you_mean(column, kinds))]
    return SepoError(message, "; ".join(["rename the columns to prompt, chosen and rejected", *near]))
