"""Conversations written into one string, and the shared beginning of two strings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sepo_data.shapes.messages import assistant, user
from sepo_data.shapes.skip_reasons import SkipRow

if TYPE_CHECKING:
    from sepo_data.shapes.pairs import Message

HUMAN = "\n\nHuman:"
CUE = "\n\nAssistant:"
_SPEAKER = re.compile(r"\n\n(Human|Assistant):")


def is_transcript(value: object) -> bool:
    """True if this is a conversation in one string, as HH-RLHF writes it."""
    return isinstance(value, str) and value.startswith(HUMAN) and CUE in value


def shared_transcript(chosen: str, rejected: str) -> tuple[list[Message], str, str]:
    """The turns that two transcripts share, and the rest of each, unchanged.

    The prompt ends at the last `Assistant:` of the common beginning. The rest is one turn, or the row is skipped.
    """
    shared = _shared_start(chosen, rejected)
    end = shared.rfind(CUE)
    if end < 0 or not shared.startswith(HUMAN):
        raise SkipRow("no_shared_turn", "the two share no beginning from Human: to Assistant:")
    replies = {"chosen": chosen[end + len(CUE) :], "rejected": rejected[end + len(CUE) :]}
    others = [side for side, reply in replies.items() if HUMAN in reply]
    if others and all(map(str.strip, replies.values())):  # an empty response is another reason
        raise SkipRow("other_speaker", f"{others[0]} holds a user turn")
    return _turns(shared[:end]), _said(replies["chosen"]), _said(replies["rejected"])


def open_transcript(text: str, place: str) -> list[Message]:
    """The turns of a transcript that stops before an answer of the assistant."""
    before, cue, after = text.rpartition(CUE)
    if not cue or after.strip() or not text.startswith(HUMAN):
        raise SkipRow("no_shared_turn", f"{place} does not go from Human: to a last Assistant:")
    return _turns(before)


def split_at_word(chosen: str, rejected: str) -> int:
    """The end of the words that both share, at least one character before the end of each.

    The space before the next word goes with that word, as tokenizers have it.
    """
    shared = _shared_start(chosen, rejected)
    end = min(len(shared), len(chosen) - 1, len(rejected) - 1)
    while end > 0 and not shared[end - 1].isspace():
        end -= 1
    return end - 1 if end > 0 and shared[end - 1] == " " else max(end, 0)


def _turns(transcript: str) -> list[Message]:
    _, *parts = _SPEAKER.split(transcript)
    return [
        user(_said(content)) if speaker == "Human" else assistant(_said(content))
        for speaker, content in zip(parts[::2], parts[1::2], strict=True)
    ]


def _shared_start(a: str, b: str) -> str:
    pairs = enumerate(zip(a, b, strict=False))
    return a[: next((at for at, (x, y) in pairs if x != y), min(len(a), len(b)))]


def _said(content: str) -> str:
    return content.removeprefix(" ").rstrip()
