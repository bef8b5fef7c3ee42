"""Names of columns that tell of context: of a role, of pictures, or with a word for a text that responses are about."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sepo_data.shapes.columns import spellings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TEXT_PROMPTS = ("prompt", "question", "instruction", "input")
"""Roles of a text that may be the prompt."""

CONTEXT_ROLES = (*TEXT_PROMPTS, "history", "system", "conversations", "messages", "tools", "chat_template_kwargs")

ROLE_OF_NAME = {name: role for role in CONTEXT_ROLES for name in spellings(role)}

ROLES_INSIDE = frozenset({"history", "system", "tools"})
"""Roles that a key of an object may tell of, in a column of any name."""

LIKELY_INSIDE = (
    "context",
    *sorted(name for name, role in ROLE_OF_NAME.items() if role in ROLES_INSIDE and "." not in name),
)
"""Keys of an object that may come up behind the first rows."""

MEDIA = frozenset({"image", "img", "picture", "photo", "video", "audio"})

PLACES = frozenset({"base64", "b64", "byte", "file", "filename", "id", "path", "pixel", "uri", "url", "value"})
"""Words in the names of columns with the places or the contents of pictures, sound or video."""

TELLING = frozenset({
    "article", "background", "chat", "context", "conversation", "dialog", "dialogue", "doc", "document", "earlier",
    "evidence", "excerpt", "history", "initial", "instruction", "paragraph", "partial", "passage", "past", "preamble",
    "preceding", "prefill", "prefix", "previous", "prior", "sys", "system", "trajectory", "transcript", "utterance",
})  # fmt: skip
"""Words in the names of columns with a text that comes before the responses."""

TELLING_BESIDE_A_GUESS = frozenset({
    "abstract", "bio", "body", "chapter", "character", "claim", "code", "constraint", "content", "demonstration",
    "description", "email", "example", "fact", "grounding", "guideline", "hint", "knowledge", "letter", "material",
    "message", "news", "persona", "post", "premise", "profile", "report", "retrieval", "retrieved", "rule", "scenario",
    "schema", "sentence", "setup", "shot", "situation", "snippet", "statement", "story", "table", "text", "thread",
})  # fmt: skip
"""The same where the prompt is a guess."""

PLAIN = frozenset({
    "context", "conversation", "dialog", "dialogue", "document", "history", "passage", "trajectory", "transcript",
})  # fmt: skip
"""Those that tell so before there is a value."""

BEFORE = frozenset({"earlier", "history", "preceding", "prefill", "prefix", "previous", "prior"})
"""Words that tell so of responses, too: `previous_response`."""

OPENING = frozenset({"prefill", "prefix", "initial", "partial", "step"})
"""Words in the names of columns with the beginning of both responses."""

OF_RESPONSES = frozenset({
    "answer", "candidate", "chosen", "completion", "critique", "dispreferred", "explanation", "feedback", "generation",
    "gold", "judge", "labelling", "output", "preferred", "rationale", "rejected", "response",
})  # fmt: skip
"""Words in the names of columns with other responses, or with words about them."""

OF_TOOLS = frozenset({"tool", "function"})

WORDS = MEDIA | TELLING | TELLING_BESIDE_A_GUESS | OF_TOOLS | {"pixel"}

ENDING_IN_S = ("previous", "sys", "news")

_WORDS = re.compile(r"[A-Z]?[a-z]+(?:64)?|[A-Z]+(?![a-z])")


def is_telling(column: str) -> bool:
    """True if the name is that of a role, or has a word of any of these kinds."""
    return column in ROLE_OF_NAME or not WORDS.isdisjoint(_words(column))


def telling_among(columns: Sequence[str]) -> Iterator[str]:
    """The columns with such a name, of a table that may have a million."""
    spelled = {word for word in set(_WORDS.findall("\n".join(columns))) if is_telling(word)}
    for column in columns:
        if column in ROLE_OF_NAME or (any(word in column for word in spelled) and is_telling(column)):
            yield column


def names_media(column: str) -> bool:
    """True if a column of this name holds pictures, sound or video, or their places."""
    words = _words(column)
    media = [word in MEDIA for word in words]
    return words == ["pixel", "value"] or (any(media) and (media[-1] or words[-1] in PLACES))


def tells(column: str, words: frozenset[str] = TELLING) -> bool:
    """True if one of these words is in the name, and none of another response."""
    return has_word(column, words) and not tells_of_responses(column)


def has_word(column: str, words: frozenset[str]) -> bool:
    """True if one of these words is in the name."""
    return not words.isdisjoint(_words(column))


def tells_inside(name: str) -> bool:
    """True if this dotted name of a key tells of context: other keys tell where a prompt came from."""
    column, _, key = name.rpartition(".")
    told = names_media(key) or role_told(name) in ROLES_INSIDE or tells(key, PLAIN)
    return told and not tells_of_responses(column)


def role_told(column: str) -> str | None:
    """The role that the name is one of, or the last key of a dotted name."""
    inside = ROLE_OF_NAME.get(column.rpartition(".")[2])
    return ROLE_OF_NAME.get(column, inside if inside in ROLES_INSIDE else None)


def tells_of_responses(column: str) -> bool:
    """True if the name has a word for a response, or for words about one, and none for what comes before it."""
    words = {*_words(column)}
    return bool(words & OF_RESPONSES) and not words & BEFORE


def _words(column: str) -> list[str]:
    """The words of a name in snake case or camel case, in small letters, without the s of a plural."""
    words = (word.lower() for word in _WORDS.findall(column))
    return [word.removesuffix("s") if word not in ENDING_IN_S else word for word in words]
