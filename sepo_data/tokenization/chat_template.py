"""Render pairs as text with a chat template; strings are text already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sepo_data.console.text import shortened
from sepo_data.errors import SepoError
from sepo_data.shapes.pairs import Pair, SkippedRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from sepo_data.shapes.pairs import Message, Text

MOST_ALIKE = 50
"""Pairs that are rendered in one call."""


@dataclass(frozen=True, slots=True)
class RenderedPair:
    """A pair as text: the prompt, and the continuation of each side."""

    pair: Pair
    prompt: str
    responses: tuple[str, str]


def render_pairs(pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerBase) -> list[RenderedPair | SkippedRow]:
    """One result for each pair, in the same order.

    Raises:
        SepoError: a pair is conversational and the tokenizer has no chat template.
    """
    special = special_tokens(tokenizer)
    rendered: dict[int, RenderedPair | SkippedRow] = {}
    alike: list[int] = []
    for place, pair in enumerate(pairs):
        if isinstance(pair.prompt, str):
            rendered[place] = RenderedPair(pair, pair.prompt, (str(pair.chosen), str(pair.rejected)))
        elif tokenizer.chat_template is None:
            raise SepoError(
                f"the dataset is conversational but the tokenizer {tokenizer.name_or_path} has no chat template",
                "use an instruction-tuned model, or give the template with --chat-template FILE",
            )
        elif pair.tools is None and not pair.template_kwargs:
            alike.append(place)
        else:
            rendered[place] = _render_alone(pair, tokenizer, special)
    rendered |= zip(alike, _render_alike([pairs[place] for place in alike], tokenizer, special), strict=True)
    return [rendered[place] for place in range(len(pairs))]


def _render_alike(
    pairs: list[Pair], tokenizer: PreTrainedTokenizerBase, special: tuple[str, ...]
) -> list[RenderedPair | SkippedRow]:
    """Render pairs that have nothing but messages in one call: each takes little more than half the time.

    A template does not report which of them it refuses; if it refuses one, all are rendered one by one.
    """
    if not pairs:
        return []
    if len(pairs) > MOST_ALIKE:  # else a template without end would be stopped late
        parts = [pairs[start : start + MOST_ALIKE] for start in range(0, len(pairs), MOST_ALIKE)]
        return [row for part in parts for row in _render_alike(part, tokenizer, special)]
    try:
        return _render(pairs, tokenizer, special)
    except SepoError:
        raise
    except Exception:  # noqa: BLE001 - a template is a program of the model's author and may raise anything
        return [_render_alone(pair, tokenizer, special) for pair in pairs]


def _render_alone(
    pair: Pair, tokenizer: PreTrainedTokenizerBase, special: tuple[str, ...]
) -> RenderedPair | SkippedRow:
    try:
        [rendered] = _render([pair], tokenizer, special, tools=pair.tools, **(pair.template_kwargs or {}))
    except SepoError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        return SkippedRow(pair.source_row, "template_error", shortened(f"{type(error).__name__}: {error}"))
    return rendered


def _render(
    pairs: Sequence[Pair],
    tokenizer: PreTrainedTokenizerBase,
    special: tuple[str, ...],
    /,  # a row may have a template variable with one of these names
    **variables: Any,  # noqa: ANN401 - the template's own variables
) -> list[RenderedPair | SkippedRow]:
    def apply(conversations: list[Any], *, generation: bool = False) -> list[str]:
        # The names used here cannot be among the variables of a row.
        from sepo_data.tokenization.bounded_template import apply_template

        return apply_template(  # type: ignore[no-any-return]
            tokenizer,
            conversations,
            chat_template=None,
            add_generation_prompt=generation,
            continue_final_message=False,
            tokenize=False,
            **variables,
        )

    prompts = apply([_turns(pair.prompt) for pair in pairs], generation=True)
    sides = [side for pair in pairs for side in (pair.chosen, pair.rejected)]
    wholes = apply([[*_turns(pairs[number // 2].prompt), *_turns(side)] for number, side in enumerate(sides)])
    rendered: list[RenderedPair | SkippedRow] = []
    for pair, prompt, both in zip(pairs, prompts, zip(wholes[::2], wholes[1::2], strict=True), strict=True):
        opened: str | None = prompt
        if not all(whole.startswith(prompt) for whole in both):
            # Some templates open the assistant's turn differently if it is still to be generated.
            [closed] = apply([_turns(pair.prompt)])
            opened = _with_opening(closed, both, (pair.chosen, pair.rejected))
        if opened is None:
            detail = "the chat template renders the prompt differently once a response follows it"
            rendered.append(SkippedRow(pair.source_row, "template_not_prefix", detail))
        else:
            chosen, rejected = (_without_layout(whole[len(opened) :], special) for whole in both)
            rendered.append(RenderedPair(pair, opened, (chosen, rejected)))
    return rendered


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    # An end-of-turn token need not be among `all_special_tokens`: these are only the tokens that have a role.
    return tuple(str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)


def _turns(side: Text) -> list[Message]:
    if isinstance(side, str):
        raise TypeError("a pair is of three message lists, or of three strings")
    return side


def _with_opening(prompt: str, wholes: tuple[str, str], sides: tuple[Text, Text]) -> str | None:
    """The prompt and the opening of the assistant's turn: the text before the content, if the same in both `wholes`."""
    contents = [(_turns(side)[0].get("content") or "").strip() for side in sides]
    found = [whole.find(content, len(prompt)) for whole, content in zip(wholes, contents, strict=True)]
    openings = {whole[:start] for whole, start in zip(wholes, found, strict=True)}
    same = len(openings) == 1 and min(found) >= 0 and all(contents) and wholes[0].startswith(prompt)
    return openings.pop() if same else None


def _without_layout(response: str, special: tuple[str, ...]) -> str:
    """Drop the white space that a template puts after the end-of-turn token: no model generates it."""
    stripped = response.rstrip()
    return stripped if stripped.endswith(special) else response
