"""Render pairs as text with a chat template; strings are text already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sepo_data.console.text import shortened
from sepo_data.errors import SepoError
from sepo_data.shapes.pairs import Pair, SkippedRow, json_text
from sepo_data.tokenization.lost_parts import described, is_unread, lost_part, without_place
from sepo_data.tokenization.message_parts import parts_of
from sepo_data.tokenization.prompt_opening import conversation, openings, turns_of
from sepo_data.tokenization.template import Template, forms_of
from sepo_data.tokenization.turn_end import turn_end

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from transformers import PreTrainedTokenizerBase

    from sepo_data.shapes.pairs import Message
    from sepo_data.tokenization.message_parts import Part
    from sepo_data.tokenization.template import Form
    from sepo_data.tokenization.turn_end import TurnEnd

MOST_ALIKE = 50
"""Pairs that are rendered in one call."""


@dataclass(frozen=True, slots=True)
class RenderedPair:
    """A pair as text: the prompt, and the continuation of each side.

    Attributes:
        pair: the pair.
        prompt: its text, up to where the responses begin.
        responses: chosen and rejected, up to the end of their last turn.
        end_trimmed: something was cut behind that end, and not only white space of the template.
    """

    pair: Pair
    prompt: str
    responses: tuple[str, str]
    end_trimmed: bool = False


def render_pairs(pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerBase) -> list[RenderedPair | SkippedRow]:
    """One result for each pair, in the same order.

    Raises:
        SepoError: a pair is conversational and the tokenizer has no chat template.
    """
    return Renderer(tokenizer).render(pairs)


class Renderer:
    """Renders pairs, and remembers what it found out about the chat template of its tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._ends: dict[Hashable, TurnEnd] = {}
        self._forms: dict[Hashable, Form | None] = {}
        self._without: dict[Hashable, frozenset[Part] | None] = {}

    def render(self, pairs: Sequence[Pair]) -> list[RenderedPair | SkippedRow]:
        """As `render_pairs`."""
        rendered: dict[int, RenderedPair | SkippedRow] = {}
        alike: dict[Form | None, list[int]] = {}
        for place, pair in enumerate(pairs):
            if isinstance(pair.prompt, str):
                rendered[place] = self._strings(pair)
            elif self.tokenizer.chat_template is None:
                name = self.tokenizer.name_or_path
                raise SepoError(
                    f"the dataset is conversational but the tokenizer {name} has no chat template",
                    "use an instruction-tuned model, or give the template with --chat-template FILE",
                )
            elif pair.tools is None and not pair.template_kwargs:
                alike.setdefault(self._form(pair), []).append(place)
            else:
                rendered[place] = self._render_alone(pair, self._form(pair))
        for form, places in alike.items():
            rendered |= zip(places, self._render_alike([pairs[place] for place in places], form), strict=True)
        return [self._in_another_form(pairs[place], rendered[place]) for place in range(len(pairs))]

    @property
    def end_ids(self) -> frozenset[int]:
        """Ids of the tokens that end a turn."""
        return frozenset(map(self.tokenizer.convert_tokens_to_ids, self._end(Template(self.tokenizer)).tokens))  # type: ignore[arg-type]

    def _strings(self, pair: Pair) -> RenderedPair:
        given = str(pair.chosen), str(pair.rejected)
        end = self._end(Template(self.tokenizer))
        chosen, rejected = map(end.cut, given)
        return RenderedPair(pair, str(pair.prompt), (chosen, rejected), end_trimmed=(chosen, rejected) != given)

    def _render_alike(self, pairs: list[Pair], form: Form | None) -> list[RenderedPair | SkippedRow]:
        """Render pairs that have nothing but messages in one call: each takes little more than half the time.

        A template does not report which of them it refuses; if it refuses one, all are rendered one by one.
        """
        if len(pairs) > MOST_ALIKE:  # else a template without end would be stopped late
            parts = [pairs[start : start + MOST_ALIKE] for start in range(0, len(pairs), MOST_ALIKE)]
            return [row for part in parts for row in self._render_alike(part, form)]
        try:
            return self._render(pairs, Template(self.tokenizer, form=form))
        except SepoError:
            raise
        except Exception:  # noqa: BLE001 - a template is a program of the model's author and may raise anything
            return [self._render_alone(pair, form) for pair in pairs]

    def _render_alone(self, pair: Pair, form: Form | None) -> RenderedPair | SkippedRow:
        try:
            [rendered] = self._render([pair], self._template(pair, form))
        except SepoError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            return SkippedRow(pair.source_row, "template_error", shortened(f"{type(error).__name__}: {error}"))
        return rendered

    def _in_another_form(self, pair: Pair, found: RenderedPair | SkippedRow) -> RenderedPair | SkippedRow:
        """The pair in the first form of its messages that the template takes as a whole; else `found`."""
        if isinstance(found, RenderedPair):
            return found
        first = self._form(pair)
        for form in forms_of(_all_turns(pair)):
            if form is first or _has_parts(form) != _has_parts(first):
                continue
            if isinstance(other := self._render_alone(pair, form), RenderedPair):
                return other
        return found

    def _template(self, pair: Pair, form: Form | None) -> Template:
        return Template(self.tokenizer, pair.tools, pair.template_kwargs or {}, form)

    def _render(self, pairs: Sequence[Pair], template: Template) -> list[RenderedPair | SkippedRow]:
        sides = [(pair, turns_of(side)) for pair in pairs for side in (pair.chosen, pair.rejected)]
        texts = template([conversation(turns_of(pair.prompt), side) for pair, side in sides])
        wholes = list(zip(texts[::2], texts[1::2], strict=True))
        prompts = openings(pairs, wholes, template)
        end = self._end(template)
        return [
            self._split(pair, prompt, both, end, template)
            for pair, prompt, both in zip(pairs, prompts, wholes, strict=True)
        ]

    def _split(
        self, pair: Pair, prompt: str | None, wholes: tuple[str, str], end: TurnEnd, template: Template
    ) -> RenderedPair | SkippedRow:
        if prompt is None:
            detail = "the chat template renders the prompt differently once a response follows it"
            return SkippedRow(pair.source_row, "template_not_prefix", detail)
        given = [whole[len(prompt) :] for whole in wholes]
        chosen, rejected = map(end.cut, given)
        lost = self._lost(pair, wholes, template) or lost_part(pair, prompt, (chosen, rejected))
        if lost := lost or self._empty(pair, (chosen, rejected), end):
            return SkippedRow(pair.source_row, "lost_in_template", f"the chat template leaves out {lost}")
        trimmed = [text.rstrip() for text in given] != [chosen.rstrip(), rejected.rstrip()]
        return RenderedPair(pair, prompt, (chosen, rejected), end_trimmed=trimmed)

    def _lost(self, pair: Pair, wholes: tuple[str, str], template: Template) -> str | None:
        """The first part of `pair` that the template has no place for, in words."""
        without = self._without_place(pair, template.form)
        if not without:
            return None
        lost = (part for part in parts_of(pair) if part in without and is_unread(pair, part, wholes, template))
        return next((described(pair, part) for part in lost), None)

    @staticmethod
    def _empty(pair: Pair, responses: tuple[str, str], end: TurnEnd) -> str | None:
        """The side that is rendered as nothing but the end of a turn though its turns have more than a content."""
        for name, turns, text in zip(("chosen", "rejected"), (pair.chosen, pair.rejected), responses, strict=True):
            has_more = any(turn.get("tool_calls") for turn in turns_of(turns))
            if (
                has_more
                and end.is_all(text)
                and not any((turn.get("content") or "").strip() for turn in turns_of(turns))
            ):
                return f"all of {name}"
        return None

    def _form(self, pair: Pair) -> Form | None:
        """The form of messages in which the template has no place for the fewest parts of pairs like `pair`.

        The first of several, which is mostly that in which they were read: the template has a place for all parts.
        """
        structure = _structure(pair)
        if structure not in self._forms:
            found, fewest = None, None
            for form in forms_of(_all_turns(pair)):
                without = self._without_place(pair, form)
                if without is not None and (fewest is None or len(without) < fewest):
                    found, fewest = form, len(without)
                if fewest == 0:
                    break
            self._forms[structure] = found
        return self._forms[structure]

    def _without_place(self, pair: Pair, form: Form | None) -> frozenset[Part] | None:
        """As `without_place` of pairs like `pair`; None where the template refuses the words in place of the parts."""
        key = (_structure(pair), form)
        if key not in self._without:
            try:
                self._without[key] = without_place(pair, self._template(pair, form))
            except SepoError:
                raise
            except Exception:  # noqa: BLE001 - as above
                self._without[key] = None
        return self._without[key]

    def _end(self, template: Template) -> TurnEnd:
        """The end of a turn as `template` writes it, whichever tools it gets."""
        key = (template.form, json_text(template.variables) if template.variables else "")
        if key not in self._ends:
            self._ends[key] = turn_end(template.with_tools(None))
        return self._ends[key]


def _has_parts(form: Form | None) -> bool:
    return form is not None and form.parts


def _all_turns(pair: Pair) -> list[Message]:
    return [*turns_of(pair.prompt), *turns_of(pair.chosen), *turns_of(pair.rejected)]


def _structure(pair: Pair) -> Hashable:
    """The structure of a pair: all but the texts, which decide no place in a template."""
    sides = [turns_of(side) for side in (pair.prompt, pair.chosen, pair.rejected)]
    if pair.tools is None and not pair.template_kwargs and all(len(turn) == 2 for side in sides for turn in side):  # noqa: PLR2004 - role, content
        turns = [[(turn["role"], not turn["content"], turn["content"].isspace()) for turn in side] for side in sides]
        return tuple(map(tuple, turns))
    roles = tuple([tuple([tuple(turn) for turn in side]) for side in sides])
    return roles, tuple(parts_of(pair)), json_text([pair.tools, pair.template_kwargs])
