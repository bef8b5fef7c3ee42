"""Pairs to token ids: one prompt, two responses, and the boundary between them resolved in token space.

Conversational pairs are rendered with the tokenizer's chat template, which then determines BOS and end-of-turn.
Plain strings are concatenated: BOS where the tokenizer adds one by itself, EOS after a complete response.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sepo_data.shapes.pairs import Pair, SkippedRow
from sepo_data.tokenization.chat_template import RenderedPair, Renderer
from sepo_data.tokenization.encoding import Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from sepo_data.preferences.skipped import Truncate
    from sepo_data.tokenization.encoding import Continued

PIECE_PAIRS = 128
"""Pairs that are rendered, and then encoded, at a time."""


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """A pair and its token ids; the response ids hold the response alone, end-of-turn included."""

    pair: Pair
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    boundary_merged: bool = False
    end_trimmed: bool = False
    truncated: bool = False


def tokenize_pairs(
    pairs: Sequence[Pair],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    truncate: Truncate | None = None,
) -> list[TokenizedPair | SkippedRow]:
    """Tokenize `pairs`, one result for each in the same order; an unusable pair gives a `SkippedRow`.

    Args:
        pairs: of `read_preferences`; a pair that is tokenized already keeps its ids and gets its texts from them.
        tokenizer: any fast Hugging Face tokenizer.
        max_length: tokens of prompt and one response together, for each of the two.
        truncate: cut a pair that does not fit: `prompt` from its start, the same for both sides; `response` from its
            end, without a false EOS. By default such a pair is skipped.

    Raises:
        SepoError: a pair is conversational and the tokenizer has no chat template.
    """
    bos = _automatic_bos(tokenizer)
    encoder = Encoder(tokenizer)
    renderer = Renderer(tokenizer)
    known = frozenset(tokenizer.get_vocab().values() if any(pair.ids for pair in pairs) else ())
    begun = []
    with ThreadPoolExecutor(max_workers=1) as thread:
        # While Python renders a piece, the tokenizer's own threads, which need no Python, encode the one before.
        for start in range(0, len(pairs), PIECE_PAIRS):
            piece = pairs[start : start + PIECE_PAIRS]
            rendered = renderer.render([pair for pair in piece if pair.ids is None])
            texts = [(item.prompt, item.responses) for item in rendered if isinstance(item, RenderedPair)]
            begun.append((piece, iter(rendered), thread.submit(encoder.encode_continued, texts)))
    ends = renderer.end_ids
    results: list[TokenizedPair | SkippedRow] = []
    for piece, rendered_pairs, encoding in begun:
        encoded = iter(encoding.result())
        for pair in piece:
            item = next(rendered_pairs) if pair.ids is None else _with_texts(pair, pair.ids, known, tokenizer)
            if isinstance(item, RenderedPair):
                item = _split_at_boundary(item, next(encoded), encoder, tokenizer, bos=bos, ends=ends)
            results.append(item if isinstance(item, SkippedRow) else _fit(item, bos, max_length, truncate))
    return results


def _with_texts(
    pair: Pair, ids: tuple[list[int], list[int], list[int]], known: frozenset[int], tokenizer: PreTrainedTokenizerBase
) -> TokenizedPair | SkippedRow:
    """A pair that is tokenized already, with the texts of its ids."""
    if unknown := set().union(*ids) - known:
        detail = f"{min(unknown)} is none of the {len(known):,} ids of {tokenizer.name_or_path}"
        return SkippedRow(pair.source_row, "unknown_id", detail)
    prompt_ids, *responses = ids
    prompt = _decode(prompt_ids, tokenizer)
    # Decoded alone, a response would lose the blank that some tokenizers put before every text.
    wholes = [(_decode([*prompt_ids, *response], tokenizer), response) for response in responses]
    chosen, rejected = (
        whole[len(prompt) :] if whole.startswith(prompt) else _decode(response, tokenizer) for whole, response in wholes
    )
    return TokenizedPair(replace(pair, prompt=prompt, chosen=chosen, rejected=rejected), *ids)


def _split_at_boundary(
    item: RenderedPair,
    encoded: Continued,
    encoder: Encoder,
    tokenizer: PreTrainedTokenizerBase,
    *,
    bos: list[int],
    ends: frozenset[int],
) -> TokenizedPair:
    prompt_ids, end = encoded.ids, encoded.end
    merged = False
    responses = []
    for text, ids in zip(item.responses, encoded.wholes, strict=True):
        if ids[: len(end)] == end:
            responses.append(ids[len(end) :])
        else:
            merged = True
            responses.append(_encode_apart(prompt_ids, text, encoder, tokenizer))
    if not item.pair.conversational:
        eos = tokenizer.eos_token_id
        prompt_ids = bos + prompt_ids if prompt_ids[:1] != bos else prompt_ids
        responses = [ids if eos is None or (ids and ids[-1] in ends) else [*ids, eos] for ids in responses]
    if not prompt_ids and tokenizer.bos_token_id is not None:
        prompt_ids = [tokenizer.bos_token_id]
    chosen, rejected = responses
    return TokenizedPair(item.pair, prompt_ids, chosen, rejected, boundary_merged=merged, end_trimmed=item.end_trimmed)


def _encode_apart(
    prompt_ids: list[int], response: str, encoder: Encoder, tokenizer: PreTrainedTokenizerBase
) -> list[int]:
    """Encode a response whose first token would merge with the prompt's last one.

    Tokenizers that put a blank before every text would change the text here; behind a line break, which is then
    dropped, they do not. The first way that decodes to the text wins, or the last where unknown characters let none.
    """
    behind = "\n" + response
    encoded = encoder.encode([response, behind, "\n"])
    line_break = encoded["\n"]
    candidates = [encoded[response]]
    if encoded[behind][: len(line_break)] == line_break:
        candidates.append(encoded[behind][len(line_break) :])
    before = _decode(prompt_ids, tokenizer)
    for ids in candidates:
        if _decode([*prompt_ids, *ids], tokenizer) == before + response:
            return ids
    return candidates[-1]


def _decode(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> str:
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))


def _automatic_bos(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """`[bos]` where the tokenizer opens every text with it, else nothing."""
    bos = tokenizer.bos_token_id
    return [bos] if bos is not None and tokenizer("a")["input_ids"][:1] == [bos] else []


def over_limit(item: TokenizedPair, max_length: int) -> SkippedRow | None:
    """The skipped row of a pair whose prompt and one response have more than `max_length` tokens; None if it fits."""
    prompt, response = len(item.prompt_ids), max(len(item.chosen_ids), len(item.rejected_ids))
    if prompt + response <= max_length:
        return None
    detail = f"{prompt} prompt + {response} response tokens exceed {max_length}"
    return SkippedRow(item.pair.source_row, "too_long", detail)


def _fit(item: TokenizedPair, bos: list[int], max_length: int, truncate: Truncate | None) -> TokenizedPair | SkippedRow:
    row = item.pair.source_row
    prompt, chosen, rejected = item.prompt_ids, item.chosen_ids, item.rejected_ids
    if not prompt:
        detail = "the prompt has no tokens and the tokenizer no BOS, so nothing predicts the first response token"
        return SkippedRow(row, "empty_prompt", detail)
    if not chosen or not rejected:
        return SkippedRow(row, "no_tokens", f"{len(chosen)} tokens chosen, {len(rejected)} rejected")
    if too_long := over_limit(item, max_length):
        # Models that open every text with BOS are lost without it, so the cut is made behind it.
        kept = bos if prompt[: len(bos)] == bos else []
        room = max_length - max(len(chosen), len(rejected)) - len(kept)
        if truncate == "prompt" and room > 0:
            item = replace(item, prompt_ids=kept + prompt[-room:], truncated=True)
        elif truncate == "response" and len(prompt) < max_length:
            room = max_length - len(prompt)
            item = replace(item, chosen_ids=chosen[:room], rejected_ids=rejected[:room], truncated=True)
        else:
            return too_long
    if item.chosen_ids == item.rejected_ids:
        return SkippedRow(row, "equal_responses", "both responses have the same tokens")
    return item
