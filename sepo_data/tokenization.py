"""From a pair to token ids: one prompt, two responses, and the boundary between them resolved in token space.

Conversational pairs are rendered with the tokenizer's chat template, which then decides about BOS and end-of-turn.
Plain strings are concatenated: BOS where the tokenizer adds one by itself, EOS after a whole response.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from schemas.errors import SepoError
from sepo_data.pairs import Pair, SkippedRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from sepo_data.pairs import Message, Text

Truncate = Literal["prompt", "response"]

REASONS = {
    "too_long": "prompt and response together exceed --max-length",
    "empty_prompt": "the prompt has no tokens and the tokenizer no BOS, so nothing predicts the first response token",
    "no_tokens": "a response has no tokens",
    "equal_responses": "both responses have the same tokens",
    "template_not_prefix": "the chat template renders the prompt differently once a response follows it",
    "template_error": "the chat template refuses the messages",
}
"""Why a pair that was read could not be tokenized: the reason codes of `skipped.jsonl` that this module adds."""


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """A pair and its token ids; the response ids hold the response alone, end-of-turn included."""

    pair: Pair
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    boundary_merged: bool = False
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class _Rendered:
    """A pair as text, just before it is encoded."""

    pair: Pair
    prompt: str
    responses: tuple[str, str]


def tokenize_pairs(
    pairs: Sequence[Pair],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    truncate: Truncate | None = None,
) -> list[TokenizedPair | SkippedRow]:
    """Tokenize `pairs`, one result for each in the same order; what cannot be used comes back as a `SkippedRow`.

    Args:
        pairs: what `read_preferences` yields.
        tokenizer: any Hugging Face tokenizer.
        max_length: tokens of prompt and one response together, for each of the two.
        truncate: cut a pair that does not fit: `prompt` from its start, the same for both sides; `response` from its
            end, without a false EOS. By default such a pair is set aside.

    Raises:
        SepoError: a pair is conversational and the tokenizer has no chat template.
    """
    # An end-of-turn token need not be among `all_special_tokens`: those are only the ones that have a role.
    special = tuple(str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
    rendered = [_render(pair, tokenizer, special) for pair in pairs]
    texts = [item for item in rendered if isinstance(item, _Rendered)]
    # One call for all texts keeps a fast tokenizer's threads busy.
    encoded = iter(
        _encode(
            tokenizer,
            [text for item in texts for text in (item.prompt, *(item.prompt + part for part in item.responses))],
        )
    )
    bos = _automatic_bos(tokenizer)
    results: list[TokenizedPair | SkippedRow] = []
    for item in rendered:
        if isinstance(item, SkippedRow):
            results.append(item)
            continue
        tokenized = _split_at_boundary(item, next(encoded), [next(encoded), next(encoded)], bos, tokenizer)
        results.append(_fit(tokenized, bos, max_length=max_length, truncate=truncate))
    return results


def _render(pair: Pair, tokenizer: PreTrainedTokenizerBase, special: tuple[str, ...]) -> _Rendered | SkippedRow:
    if isinstance(pair.prompt, str):
        return _Rendered(pair, pair.prompt, (str(pair.chosen), str(pair.rejected)))
    if tokenizer.chat_template is None:
        raise SepoError(
            f"the dataset is conversational but the tokenizer {tokenizer.name_or_path} has no chat template",
            "use an instruction-tuned --ref, or give the template with --chat-template FILE",
        )
    try:
        prompt: str | None = _apply_template(tokenizer, pair.prompt, add_generation_prompt=True)
        wholes = [
            _apply_template(tokenizer, [*pair.prompt, *side])
            for side in (pair.chosen, pair.rejected)
            if not isinstance(side, str)
        ]
        if not all(whole.startswith(str(prompt)) for whole in wholes):
            # Some templates open the assistant's turn differently when it is still to be generated.
            prompt = _with_opening(_apply_template(tokenizer, pair.prompt), wholes, (pair.chosen, pair.rejected))
    except Exception as error:  # noqa: BLE001 - a template is a program of the model's author and may raise anything
        return SkippedRow(pair.source_row, "template_error", f"{type(error).__name__}: {error}")
    if prompt is None or not all(whole.startswith(prompt) for whole in wholes):
        return SkippedRow(pair.source_row, "template_not_prefix", REASONS["template_not_prefix"])
    chosen, rejected = (_without_layout(whole[len(prompt) :], special) for whole in wholes)
    return _Rendered(pair, prompt, (chosen, rejected))


def _apply_template(
    tokenizer: PreTrainedTokenizerBase, messages: list[Message], *, add_generation_prompt: bool = False
) -> str:
    return str(
        tokenizer.apply_chat_template(
            [dict(turn) for turn in messages], tokenize=False, add_generation_prompt=add_generation_prompt
        )
    )


def _with_opening(prompt: str, wholes: list[str], sides: tuple[Text, Text]) -> str | None:
    """The prompt with what opens the assistant's turn: what stands before the content in both `wholes`, if the same."""
    contents = [side if isinstance(side, str) else side[0]["content"].strip() for side in sides]
    found = [whole.find(content, len(prompt)) for whole, content in zip(wholes, contents, strict=True)]
    openings = {whole[:start] for whole, start in zip(wholes, found, strict=True)}
    same = len(openings) == 1 and min(found) >= 0 and wholes[0].startswith(prompt)
    return openings.pop() if same else None


def _without_layout(response: str, special: tuple[str, ...]) -> str:
    """Drop the white space that a template puts after the end-of-turn token: no model generates it."""
    stripped = response.rstrip()
    return stripped if stripped.endswith(special) else response


def _encode(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    if not texts:
        return []
    encoding = tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)
    return [list(ids) for ids in encoding["input_ids"]]


def _split_at_boundary(
    item: _Rendered,
    prompt_ids: list[int],
    whole_ids: list[list[int]],
    bos: list[int],
    tokenizer: PreTrainedTokenizerBase,
) -> TokenizedPair:
    merged = False
    responses = []
    for text, ids in zip(item.responses, whole_ids, strict=True):
        if ids[: len(prompt_ids)] == prompt_ids:
            responses.append(ids[len(prompt_ids) :])
        else:
            merged = True
            responses.append(_encode_apart(prompt_ids, text, tokenizer))
    if not item.pair.conversational:
        eos = tokenizer.eos_token_id
        prompt_ids = bos + prompt_ids if prompt_ids[:1] != bos else prompt_ids
        responses = [ids if eos is None or ids[-1:] == [eos] else [*ids, eos] for ids in responses]
    if not prompt_ids and tokenizer.bos_token_id is not None:
        prompt_ids = [tokenizer.bos_token_id]
    chosen, rejected = responses
    return TokenizedPair(item.pair, prompt_ids, chosen, rejected, boundary_merged=merged)


def _encode_apart(prompt_ids: list[int], response: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Encode a response whose first token would merge with the prompt's last one.

    Tokenizers that put a blank before every text would change the text here; behind a line break, which is then
    dropped, they do not. The first way that decodes to the text wins, or the last where unknown characters let none.
    """
    plain, behind, line_break = _encode(tokenizer, [response, "\n" + response, "\n"])
    candidates = [plain]
    if behind[: len(line_break)] == line_break:
        candidates.append(behind[len(line_break) :])
    before = str(tokenizer.decode(prompt_ids))
    for ids in candidates:
        if tokenizer.decode([*prompt_ids, *ids]) == before + response:
            return ids
    return candidates[-1]


def _automatic_bos(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """`[bos]` where the tokenizer opens every text with it, else nothing."""
    bos = tokenizer.bos_token_id
    return [bos] if bos is not None and tokenizer("a")["input_ids"][:1] == [bos] else []


def _fit(
    item: TokenizedPair, bos: list[int], *, max_length: int, truncate: Truncate | None
) -> TokenizedPair | SkippedRow:
    row = item.pair.source_row
    prompt, chosen, rejected = item.prompt_ids, item.chosen_ids, item.rejected_ids
    if not prompt:
        return SkippedRow(row, "empty_prompt", REASONS["empty_prompt"])
    if not chosen or not rejected:
        return SkippedRow(row, "no_tokens", f"{len(chosen)} tokens chosen, {len(rejected)} rejected")
    longest = max(len(chosen), len(rejected))
    if len(prompt) + longest > max_length:
        detail = f"{len(prompt)} prompt + {longest} response tokens exceed {max_length}"
        # Models that open every text with BOS are lost without it, so the cut is made behind it.
        kept = bos if prompt[: len(bos)] == bos else []
        room = max_length - longest - len(kept)
        if truncate == "prompt" and room > 0:
            item = replace(item, prompt_ids=kept + prompt[-room:], truncated=True)
        elif truncate == "response" and len(prompt) < max_length:
            room = max_length - len(prompt)
            item = replace(item, chosen_ids=chosen[:room], rejected_ids=rejected[:room], truncated=True)
        else:
            return SkippedRow(row, "too_long", detail)
    if item.chosen_ids == item.rejected_ids:
        return SkippedRow(row, "equal_responses", REASONS["equal_responses"])
    return item
