"""The end of the prompt in a rendered conversation, found by position: before a word in place of the response.

A prompt that ends in a turn of the assistant is continued by the response; any other one by a turn of its own.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from sepo_data.tokenization.message_parts import name_and_arguments, reasoning_of
from sepo_data.tokenization.template import added_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sepo_data.shapes.pairs import Message, Pair
    from sepo_data.tokenization.template import Template

MARK = "qz0zq"
"""A word that no template holds and none changes."""


def turns_of(side: str | list[Message]) -> list[Message]:
    """The turns of a part of a conversational pair."""
    if isinstance(side, str):
        raise TypeError("a pair is of three message lists, or of three strings")
    return side


def is_continued(prompt: list[Message]) -> bool:
    """True if the response continues the last turn of `prompt`; a tool call cannot be continued."""
    return prompt[-1]["role"] == "assistant" and not prompt[-1].get("tool_calls")


def conversation(prompt: list[Message], response: list[Message], between: str = "") -> list[Message]:
    """The turns of a prompt and a response; where they share a turn, with the text `between` what each has of it."""
    if not is_continued(prompt):
        return [*prompt, *response]
    last, first = prompt[-1], response[0]
    content = f"{last.get('content') or ''}{between}{first.get('content') or ''}"
    return [*prompt[:-1], {**last, **first, "content": content}, *response[1:]]


def openings(pairs: Sequence[Pair], wholes: Sequence[tuple[str, str]], template: Template) -> list[str | None]:
    """The text of each prompt up to its responses, which both of `wholes` begin with; None where they do not.

    Args:
        pairs: conversational ones.
        wholes: for each pair, prompt and chosen as one text, and prompt and rejected.
        template: that rendered them.
    """
    found: dict[int, str | None] = {}
    fresh = [place for place, pair in enumerate(pairs) if not is_continued(turns_of(pair.prompt))]
    opened = template([turns_of(pairs[place].prompt) for place in fresh], generation=True)
    found |= zip(fresh, opened, strict=True)
    # Some templates open the assistant's turn differently if it is still to be generated.
    other = [place for place in fresh if not _begins(wholes[place], found[place])]
    begun = _before_mark([turns_of(pairs[place].prompt) for place in other], template)
    for place, (closed, before) in zip(other, begun, strict=True):
        found[place] = _shared(pairs[place], wholes[place], closed, before, template)
    continued = [place for place in range(len(pairs)) if place not in found]
    found |= {place: _joint(pairs[place], wholes[place], template) for place in continued}
    return [found[place] if _begins(wholes[place], found[place]) else None for place in range(len(pairs))]


def _begins(wholes: tuple[str, str], opening: str | None) -> bool:
    return opening is not None and all(whole.startswith(opening) for whole in wholes)


def _before_mark(prompts: list[list[Message]], template: Template) -> list[tuple[str, str]]:
    """Each prompt alone, and the text before the content of a response to it."""
    marked = template([[*prompt, {"role": "assistant", "content": MARK}] for prompt in prompts])
    return list(zip(template(prompts), (text.rpartition(MARK)[0] for text in marked), strict=True))


def _shared(pair: Pair, wholes: tuple[str, str], closed: str, before: str, template: Template) -> str | None:
    """The text `before` a response, or where only one of them has reasoning, what is before that too.

    None where a response changes the prompt, which is `closed` without one, or where its opening depends on it.
    """
    if not before.startswith(closed):
        return None
    if _begins(wholes, before):
        return before if _contents_follow(pair, wholes, before) else None
    if not any(_has_reasoning(turns_of(side)[0]) for side in (pair.chosen, pair.rejected)):
        return None
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(before, *wholes, strict=False))
    shared = before[: sum(1 for _ in same)]
    tokens = added_texts(template.tokenizer)
    end = max((shared.rfind(text) + len(text) for text in ("\n", *tokens) if text in shared), default=0)
    return shared[:end] if end > len(closed) else None


def _has_reasoning(turn: Message) -> bool:
    return bool(reasoning_of(turn)) or "</think>" in (turn.get("content") or "")


def _contents_follow(pair: Pair, wholes: tuple[str, str], opening: str) -> bool:
    """True if the content of the first turn of each response stands behind `opening`, unless it was left out."""
    firsts = [turns_of(side)[0] for side in (pair.chosen, pair.rejected)]
    contents = [(first.get("content") or "").strip() for first in firsts]
    rests = [whole[len(opening) :].lstrip() for whole in wholes]
    follow = [rest.startswith(text) or text not in rest for rest, text in zip(rests, contents, strict=True)]
    return all(follow) and all(text or _calls_by_name(first) for text, first in zip(contents, firsts, strict=True))


def _calls_by_name(turn: Message) -> bool:
    return any(name_and_arguments(call)[0] for call in turn.get("tool_calls") or ())


def _joint(pair: Pair, wholes: tuple[str, str], template: Template) -> str | None:
    """The text before the place where the responses of `pair` continue its prompt; None where that is not one place."""
    prompt = turns_of(pair.prompt)
    marked = template([conversation(prompt, turns_of(side), MARK) for side in (pair.chosen, pair.rejected)])
    parts = [text.rpartition(MARK) for text in marked]
    same = [bool(mark) and before + after == whole for (before, mark, after), whole in zip(parts, wholes, strict=True)]
    return parts[0][0] if all(same) else None
