"""The parts of a pair's messages that its rendering lacks: a chat template may leave a tool call out without a word.

Two things are looked at. A word is put in place of each part of a conversation of the same structure: a part whose word
is not rendered has no place in the template. And the text of each part is looked for, which a template may have
trimmed, escaped or spelled in another notation.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from sepo_data.shapes.tool_calls import arguments_text
from sepo_data.tokenization.message_parts import Part, parts_of, value_of, with_marks
from sepo_data.tokenization.prompt_opening import conversation, turns_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sepo_data.shapes.pairs import Message, Pair
    from sepo_data.tokenization.template import Template

REASONING_STARTS = re.compile(r"\s*(?:<think>|<thinking>|<reasoning>|\[THINK\]|<\|channel>thought)\s*")
"""Beginnings of it, with which a template may open the assistant's turn: then they are of the prompt."""

REASONING_ENDS = re.compile(r"</think>|</thinking>|</reasoning>|\[/THINK\]|<channel\|>")
"""Ends of reasoning that is written in a content; most templates leave that of earlier turns out, by design."""

CONSTANTS = {True: ("true", "True"), False: ("false", "False"), None: ("null", "None", "none")}
"""The values of JSON that have no one spelling."""

SHOWN = 60
"""Characters of a lost text that a message quotes."""

PRINTED_PART = "{'type': 'text'"
"""A part of a content as templates print it that take contents for texts."""

LETTERS = re.compile(r"[^\W_]+")

WORD = re.compile(r"[A-Za-z0-9]+")
"""A text that has one spelling in every notation."""

BEFORE_WORD = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=\\u[0-9A-Fa-f]{4})|(?<=%[0-9A-Fa-f]{2}))"
"""The beginning of such a text: behind no letter and no digit, but for those of an escaped character."""


def without_place(pair: Pair, template: Template) -> frozenset[Part]:
    """The parts of `pair` that `template` has no place for, whatever their text is.

    Raises:
        SepoError: the template exceeds its bounds.
        Exception: the template raises it.
    """
    marks = {part: f"qz{number}zq" for number, part in enumerate(parts_of(pair))}
    texts = wholes(with_marks(pair, marks), template)
    if any(PRINTED_PART in text for text in texts.values()):
        return frozenset(marks)
    return frozenset(
        part
        for part, mark in marks.items()
        if not all(mark in text for side, text in texts.items() if part.side in {"prompt", side})
    )


def wholes(pair: Pair, template: Template) -> dict[str, str]:
    """Prompt and chosen, and prompt and rejected, each as one text."""
    sides = {"chosen": pair.chosen, "rejected": pair.rejected}
    prompt = turns_of(pair.prompt)
    template = template.with_tools(pair.tools)
    return dict(zip(sides, template([conversation(prompt, turns_of(side)) for side in sides.values()]), strict=True))


def is_unread(pair: Pair, part: Part, rendered: tuple[str, str], template: Template) -> bool:
    """True if the rendering of `pair`, the two texts of `wholes`, stays as it is whatever the text of `part` is."""
    return rendered == tuple(wholes(with_marks(pair, {part: "qzzq"}), template).values())


def lost_part(pair: Pair, prompt: str, responses: tuple[str, str]) -> str | None:
    """The first part whose text its rendering lacks, in words; None if nothing is lost."""
    sides = ((pair.prompt, prompt), (pair.chosen, responses[0]), (pair.rejected, responses[1]))
    if pair.tools is None and all(_holds_all(turns_of(side), text) for side, text in sides):
        return None
    texts = {"prompt": prompt, "chosen": responses[0], "rejected": responses[1]}
    lost = (_loss(pair, part, texts[part.side]) for part in parts_of(pair))
    return next(filter(None, lost), None)


def _holds_all(turns: Sequence[Message], text: str) -> bool:
    """True if `text` has the content of each of `turns`, and they have nothing else."""
    return all(len(turn) == 2 and turn["content"].strip() in text for turn in turns)  # noqa: PLR2004 - role, content


def described(pair: Pair, part: Part) -> str:
    """`part` in words, with the beginning of its text."""
    return f"{part}: {next(_texts(value_of(pair, part)), '').strip()[:SHOWN]!r}"


def _loss(pair: Pair, part: Part, rendered: str) -> str | None:
    value = value_of(pair, part)
    texts = list(_texts(value))
    if part.kind != "arguments":
        lost = [text for text in texts if not _is_in(text, rendered)]
    elif arguments_text(value) in rendered or _in_order([_name_of(pair, part), *texts], rendered):
        return None
    else:
        lost = [text for text, times in Counter(texts).items() if not _is_argument_of(text, times, rendered)]
    if not lost:
        return None
    if part.kind == "content" and part.role == "assistant":
        if _is_in(REASONING_STARTS.sub("", lost[0], count=1), rendered):
            return None
        *reasoning, rest = REASONING_ENDS.split(lost[0])
        if reasoning and _is_in(rest, rendered):
            return None if part.side == "prompt" else f"the reasoning in {part}: {lost[0].strip()[:SHOWN]!r}"
    return f"{part}: {lost[0].strip()[:SHOWN]!r}"


def _texts(value: object) -> Iterator[str]:
    """The texts in the value of a part: keys and values of arguments, whichever way they are nested."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value
    elif value is None or isinstance(value, bool):
        yield CONSTANTS[value][0]
    else:
        yield json.dumps(value)


def _name_of(pair: Pair, arguments: Part) -> str:
    return str(value_of(pair, replace(arguments, kind="tool call")))


def _in_order(texts: Iterable[str], rendered: str) -> bool:
    """True if `rendered` holds `texts` one behind the other, as templates write them that put nothing between them."""
    place = 0
    for text in texts:
        spellings = "|".join(map(re.escape, _spellings(text.strip())))
        if (found := re.compile(spellings).search(rendered, place)) is None:
            return False
        place = found.end()
    return True


def _is_argument_of(text: str, times: int, rendered: str) -> bool:
    """True if `rendered` holds `text` so many times; a name such as `n` is not looked for inside other words."""
    if not WORD.fullmatch(text):
        return _is_in(text, rendered, times)
    spellings = "|".join({text, *_spellings_of_constant(text)})
    return len(re.findall(f"{BEFORE_WORD}(?:{spellings})(?![A-Za-z0-9])", rendered)) >= times


def _is_in(text: str, rendered: str, times: int = 1) -> bool:
    """True if `rendered` holds `text`, `times` times or more, in whichever notation."""
    text = text.strip()
    if rendered.count(text) >= times:
        return True
    spellings = set(_spellings(text))
    texts = {rendered, html.unescape(rendered)}
    if any(sum(map(each.count, spellings)) >= times for each in texts):
        return True
    words = set(map(_letters, spellings)) - {""}
    return any(sum(map(_letters(each).count, words)) >= times for each in texts)


def _letters(text: str) -> str:
    return "".join(LETTERS.findall(text)).casefold()


def _spellings(text: str) -> Iterable[str]:
    """`text` as templates write it: as it is, as JSON, as Python."""
    yield text
    for ascii_only in (False, True):
        yield json.dumps(text, ensure_ascii=ascii_only)[1:-1]
    yield repr(text)[1:-1]
    yield from _spellings_of_constant(text)


def _spellings_of_constant(text: str) -> tuple[str, ...]:
    return next((spellings for spellings in CONSTANTS.values() if text in spellings), ())
