"""Shapes whose prompt is inside both responses: the beginning that they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.schemas.stages import SIDES
from sepo_data.shapes.messages import assistant, shared_turns, turns, user
from sepo_data.shapes.registry import shape
from sepo_data.shapes.shape import Parts, Shape
from sepo_data.shapes.transcripts import is_transcript, shared_transcript, split_at_word
from sepo_data.shapes.value_types import NEARLY_ALL, mostly

if TYPE_CHECKING:
    from sepo_data.shapes.columns import Columns
    from sepo_data.shapes.record import Record


@shape(
    "implicit messages",
    tier=4,
    meaning="The prompt is the turns that both dialogues begin with.",
    example={
        "chosen": [user("What colour is the sky?"), assistant("Blue.")],
        "rejected": [user("What colour is the sky?"), assistant("Green.")],
    },
)
def implicit_messages(columns: Columns) -> list[Shape]:
    if not columns.are("turns", *SIDES):
        return []
    meaning = "{} and {} are whole dialogues, lists of turns; the prompt is the turns that both share."
    return [Shape("implicit messages", _of(columns, meaning), columns.only(SIDES), _dialogues)]


@shape(
    "hh transcripts",
    tier=4,
    meaning="HH-RLHF's. The prompt ends at the last `Assistant:` that both share. A row in which a response continues"
    " to a `Human:` is skipped.",
    example={
        "chosen": "\n\nHuman: What colour is the sky?\n\nAssistant: Blue.",
        "rejected": "\n\nHuman: What colour is the sky?\n\nAssistant: Green.",
    },
)
def hh_transcripts(columns: Columns) -> list[Shape]:
    if not columns.are("string", *SIDES) or not _are_transcripts(columns):
        return []
    meaning = "{} and {} are Human/Assistant transcripts; the prompt is the turns that both share."
    return [Shape("hh transcripts", _of(columns, meaning), columns.only(SIDES), _transcripts)]


@shape(
    "implicit strings",
    tier=4,
    meaning="The prompt is the words that both strings begin with. Only where nearly all rows share a beginning.",
    example={"chosen": "The sky is blue.", "rejected": "The sky is green."},
)
def implicit_strings(columns: Columns) -> list[Shape]:
    """Only if nearly all sampled rows share a beginning: else the prompt is in a column that was not recognized."""
    if not columns.are("string", *SIDES) or _are_transcripts(columns) or columns.several_prompts:
        return []
    both = [
        (a, b) for a, b in columns.values(*SIDES) if isinstance(a, str) and isinstance(b, str) and a != b and a and b
    ]
    if sum(split_at_word(a, b) > 0 for a, b in both) < NEARLY_ALL * len(both):
        return []
    meaning = "{} and {} are strings with the prompt inside; the prompt is the words that both begin with."
    return [Shape("implicit strings", _of(columns, meaning), columns.only(SIDES), _shared_words, conversational=False)]


def _of(columns: Columns, meaning: str) -> str:
    return meaning.format(*(columns.names[side] for side in SIDES))


def _are_transcripts(columns: Columns) -> bool:
    return mostly(is_transcript(a) and is_transcript(b) for a, b in columns.values(*SIDES) if a and b)


def _dialogues(record: Record) -> list[Parts]:
    return [shared_turns(turns(record, "chosen"), turns(record, "rejected"))]


def _transcripts(record: Record) -> list[Parts]:
    prompt, chosen, rejected = shared_transcript(record.text("chosen"), record.text("rejected"))
    return [(prompt, [assistant(chosen)], [assistant(rejected)])]


def _shared_words(record: Record) -> list[Parts]:
    chosen, rejected = record.text("chosen"), record.text("rejected")
    end = split_at_word(chosen, rejected)
    return [(chosen[:end], chosen[end:], rejected[end:])]
