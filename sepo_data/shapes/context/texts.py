"""Texts of a value that are in no pair of its row: the mark of context that is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from sepo_data.shapes.messages import is_turn, speaker, words_of
from sepo_data.shapes.record import value_at
from sepo_data.shapes.skip_reasons import SkipRow
from sepo_data.shapes.written import list_or_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sepo_data.shapes.pairs import Text
    from sepo_data.shapes.record import Record, Row
    from sepo_data.shapes.shape import Shape

MOST_TEXTS = 200
"""Texts of one value that are looked for."""

MOST_WRAPPED = 3
"""Levels of lists and texts around the description of a tool."""

PARAMETERS = ("parameters", "input_schema", "inputSchema")
"""Keys of the description of a tool."""

LONGEST_LABEL = 2
"""Words of a label; a text has more."""

LONGEST_LABEL_LETTERS = 8
"""The same in scripts without spaces."""


@dataclass(frozen=True)
class PairTexts:
    """A row and the texts of its pairs, with single spaces.

    Attributes:
        row: the values by column.
        prompt: of each turn.
        responses: each once.
        every: these, and the values that they are made of.
    """

    row: Row
    prompt: tuple[str, ...]
    responses: frozenset[str]
    every: frozenset[str]

    def missing(self, column: str, *, short: bool) -> list[str]:
        """The texts in `column` that no pair has; with `short`, labels count, too.

        An answer that ends a conversation whose other texts the pairs have is no context, nor is a conversation with a
        judge.
        """
        every = islice(texts_of(value_at(self.row, column)), MOST_TEXTS)
        texts = [_spaced(text) for text in every if (text.strip() if short else is_text(text))]
        if any(map(self._is_judged, texts)):
            return []
        missing = [text for text in texts if not self._has(text)]
        return missing if missing != texts[1:][-1:] else []

    def frame(self, text: str) -> str:
        """The text with a null in the place of each text of the pairs: the template that it was made of."""
        for known in sorted(filter(is_text, self.every), key=len, reverse=True):
            text = text.replace(known, "\0")
        return text

    def _is_judged(self, text: str) -> bool:
        """True for the prompt of a judge, which has the prompt and two responses in it."""
        return "".join(self.prompt[-1:]) in text and sum(response in text for response in self.responses) > 1

    def _has(self, text: str) -> bool:
        """True if the pairs have this text, or if nothing but names of speakers is between theirs.

        A label has to be all of one of their texts: some letters are in any.
        """
        if text in self.every or (is_text(text) and any(text in known for known in self.every)):
            return True
        frame = self.frame(text)
        return "\0" in frame and not any(map(is_text, frame.split("\0")))


def pair_texts(shape: Shape, sample: Sequence[Record]) -> list[PairTexts]:
    """The texts of the rows that give a pair; of all rows, none of which has a known text, where no row gives one.

    Rows of token ids have none.
    """
    if shape.tokenized:
        return []
    nothing: frozenset[str] = frozenset()
    return [*_pair_texts(shape, sample)] or [PairTexts(record.row, (), nothing, nothing) for record in sample]


def _pair_texts(shape: Shape, sample: Sequence[Record]) -> Iterator[PairTexts]:
    for record in sample:
        try:
            pairs = shape.to_pairs(0, record.row, ())
        except SkipRow:
            continue
        prompt = _turns(pairs[0].prompt)
        responses = frozenset(text for pair in pairs for side in (pair.chosen, pair.rejected) for text in _turns(side))
        read = [_spaced(text) for name in shape.columns.values() for text in texts_of(value_at(record.row, name))]
        yield PairTexts(record.row, prompt, responses - {""}, responses.union(prompt, read))


def gives_pairs(shape: Shape, row: Row) -> bool:
    """True if the row is not skipped."""
    try:
        return bool(shape.to_pairs(0, row, ()))
    except SkipRow:
        return False


def is_text(value: str) -> bool:
    """True if this is more than a label, an address or a number."""
    words = value.split(maxsplit=LONGEST_LABEL)
    return len(words) > LONGEST_LABEL or sum(not letter.isascii() for letter in value) > LONGEST_LABEL_LETTERS


def texts_of(value: object) -> Iterator[str]:
    """The texts inside a value, in order; of a conversation, those before its last answer."""
    inside = [value]
    while inside:  # not by recursion: a column may be nested deeper than Python's stack
        value = inside.pop()
        if isinstance(value, str):
            if (written := list_or_object(value)) is None:
                yield value
            else:
                inside.append(written)
        elif is_turn(value):
            inside.append(words_of(value))
        elif isinstance(value, Mapping):
            inside += reversed([*value.values()])
        elif isinstance(value, list):
            inside += reversed(value[: _end_of_prompt(value)])


def describes_tools(value: object, *, named: bool) -> bool:
    """True for a tool that a model may call, a list of such, or the text of one of these.

    Where the column is `named` after tools, their names are enough.
    """
    for _ in range(MOST_WRAPPED):
        value = value[0] if isinstance(value, list) and value else value
        value = list_or_object(value) if isinstance(value, str) else value
    if not isinstance(value, Mapping):
        return False
    tool = value["function"] if isinstance(value.get("function"), Mapping) else value
    return "name" in tool and (named or any(key in tool for key in PARAMETERS))


def _end_of_prompt(turns: list[object]) -> int:
    """The end of the last turn that is not the assistant's."""
    return next((end for end in range(len(turns), 0, -1) if speaker(turns[end - 1]) != "assistant"), 0)


def _turns(text: Text) -> tuple[str, ...]:
    """The text of each turn, with single spaces."""
    return tuple(map(_spaced, [text] if isinstance(text, str) else [turn["content"] for turn in text]))


def _spaced(text: str) -> str:
    return " ".join(text.split())
