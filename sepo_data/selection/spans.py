"""Spans of characters that an annotator marked in a response: read, checked, and the tokens that they touch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from numbers import Real
from typing import TYPE_CHECKING, Any

from sepo_data.errors import SepoError
from sepo_data.stages.token_text import token_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from tokenizers import Tokenizer

HEAD_CHARACTERS = 32
"""Characters at the beginning of a response by which it is found in the text of its tokens."""

NAMES = (("start", "end"), ("begin", "end"), ("start", "stop"), ("from", "to"))
"""The names that the two bounds of a span have where it is an object."""

FORMS = "write a list of [start, end] pairs or of {start, end} objects for each response"


class SpanFault(Exception):  # noqa: N818 - an outcome of reading; nothing went wrong in the program
    """The row cannot be used: a key of SELECTING_REASONS, and a detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def check_type(column: str, dtype: pl.DataType) -> None:
    """Raise a `SepoError` where a column of this type holds no spans."""
    import polars as pl

    def is_number(kind: Any) -> Any:  # noqa: ANN401 - a type of Polars, a class or an object of it
        return kind.is_numeric() or kind == pl.Null

    def is_span(kind: Any) -> Any:  # noqa: ANN401
        if isinstance(kind, pl.List | pl.Array):
            return is_number(kind.inner)
        fields = {field.name: field.dtype for field in kind.fields} if isinstance(kind, pl.Struct) else {}
        return (
            any(all(name in fields and is_number(fields[name]) for name in pair) for pair in NAMES) or kind == pl.Null
        )

    def is_object_of_lists(kind: Any) -> Any:  # noqa: ANN401 - what `datasets` makes of Sequence({...})
        fields = {field.name: field.dtype for field in kind.fields} if isinstance(kind, pl.Struct) else {}
        lists = {name for name, inner in fields.items() if isinstance(inner, pl.List) and is_number(inner.inner)}
        return any(lists.issuperset(pair) for pair in NAMES)

    is_list = isinstance(dtype, pl.List | pl.Array) and is_span(dtype.inner)
    if not (dtype == pl.Null or is_list or is_object_of_lists(dtype)):
        raise SepoError(f"column {column} is {dtype}, so it holds no spans of characters", FORMS)


@dataclass(frozen=True, slots=True)
class Marked:
    """One response and its spans.

    Attributes:
        column: the name of the spans, for messages.
        ids: the tokens of the response.
        prompt_ids: those before it.
        response: a text, or the turns after the prompt; spans count characters of the text, or of the last turn.
        value: the spans: a list of pairs or objects, an object of lists, or None for none.
    """

    column: str
    ids: Sequence[int]
    prompt_ids: Sequence[int]
    response: str | list[dict[str, Any]]
    value: Sequence[Any] | dict[str, Any] | None

    @property
    def text(self) -> str:
        return (self.response if isinstance(self.response, str) else self.response[-1]["content"]) or ""

    def spans(self) -> list[tuple[int, int]]:
        """The spans that mark something: those that are not empty, as (start, end).

        Raises:
            SpanFault: a span is no pair of whole numbers, ends before it begins or reaches beyond the response.
        """
        value = self.value or ()
        if isinstance(value, dict):  # an object of lists
            one, other = next(pair for pair in NAMES if pair[0] in value and pair[1] in value)
            value = list(zip_longest(value[one] or (), value[other] or ()))
        spans = [self._bounds(each) for each in value]
        for start, end in spans:
            if end < start:
                raise SpanFault("invalid_span", f"{self.column}: [{start}, {end}] ends before it begins")
            if start < 0 or end > len(self.text):
                beyond = f"reaches beyond the {len(self.text)} characters of the response"
                raise SpanFault("invalid_span", f"{self.column}: [{start}, {end}] {beyond}")
        return [(start, end) for start, end in spans if start < end]

    def _bounds(self, span: object) -> tuple[int, int]:
        given = list(span) if isinstance(span, list | tuple) else []
        if isinstance(span, dict):
            given = next(([span[one], span[other]] for one, other in NAMES if one in span and other in span), [])
        if len(given) != 2 or not all(isinstance(each, Real) and float(each).is_integer() for each in given):  # noqa: PLR2004
            raise SpanFault("invalid_span", f"{self.column}: {span} is no pair of whole numbers")
        return int(given[0]), int(given[1])

    def check(self, tokenizer: Tokenizer) -> None:
        """Raise a `SpanFault` where `tokens_inside` would."""
        if self.spans():
            both = [self.prompt_ids, [*self.prompt_ids, *self.ids]]
            prompt, whole = tokenizer.decode_batch(both, skip_special_tokens=False)
            _begin(whole[len(prompt) :], self.text)

    def tokens_inside(self, tokenizer: Tokenizer) -> list[bool]:
        """A boolean for each token: it shares a character with a span.

        Raises:
            SpanFault: a span is none of this response, or the tokens have another text.
        """
        spans = self.spans()
        if not spans:
            return [False] * len(self.ids)
        texts = token_texts(tokenizer, self.ids, self.prompt_ids)
        start = _begin("".join(texts), self.text)
        mask: list[bool] = []
        waiting = 0  # tokens that are part of the character that the next text completes
        for piece in texts:
            waiting += 1
            if piece:
                end = start + len(piece)
                mask += [any(start < last and first < end for first, last in spans)] * waiting
                start, waiting = end, 0
        return mask + [False] * waiting


def _begin(decoded: str, response: str) -> int:
    """The place in the response at which the decoded tokens begin: below 0 where the template put something before."""
    stripped = response.lstrip()
    head = stripped[:HEAD_CHARACTERS]
    found = decoded.find(head)
    if found < 0 and head.startswith(decoded.strip()):  # truncated within the first letters
        found = len(decoded) - len(decoded.lstrip())
    if found < 0:
        raise SpanFault("other_text", f"the tokens of the response {head!r} have another text")
    return len(response) - len(stripped) - found
