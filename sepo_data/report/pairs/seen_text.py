"""Text as the page shows it: what no eye sees is spelled out, everything else stays as it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sepo_data.console.text import visible
from sepo_data.stages.token_text import BROKEN, token_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer

MARK, END = "\x01", "\x02"
"""Around text that stands for something that is not seen: the script sets it apart. Both are control characters, so
that no text that went through `seen` has them by itself."""

_BYTE = re.compile("<0x[0-9A-F]{2}>")
_KEPT = re.compile("((?<=[^\x00-\x7f])[\u200c\u200d](?=[^\x00-\x7f])|[\n\t])")
"""Joiners within emoji and within words of several scripts, line breaks and tabs."""


def seen(text: str) -> str:
    """`text` with control characters, overrides of its direction and invisible letters spelled out between marks."""
    pieces = _KEPT.split(text)
    return "".join(piece if number % 2 else visible(piece, _spelled) for number, piece in enumerate(pieces))


def seen_tokens(tokenizer: Tokenizer, singles: Sequence[str], ids: Sequence[int], context: Sequence[int]) -> list[str]:
    """Text that each token adds, as `seen`; a token that adds a part of a character alone is spelled in bytes.

    Args:
        tokenizer: of the ids.
        singles: the text of every token by itself, from `single_texts`.
        ids: of a response.
        context: ids of its prompt.
    """
    texts = token_texts(tokenizer, ids, context)
    return [
        seen(text) if text and BROKEN not in text else _alone(tokenizer, singles, token, text)
        for token, text in zip(ids, texts, strict=True)
    ]


def _alone(tokenizer: Tokenizer, singles: Sequence[str], token: int, text: str) -> str:
    single = singles[token] if 0 <= token < len(singles) else ""
    if spelled := _BYTE.findall(single):
        # The first pieces of a character add nothing yet; the last one of a text that ends within it adds itself.
        rest = "" if not text else seen(_BYTE.sub("", single))
        return f"{rest}{MARK}{''.join(spelled)}{END}"
    if text:
        return seen(text)
    return f"{MARK}{seen(tokenizer.id_to_token(token) or f'token {token}').replace(MARK, '').replace(END, '')}{END}"


def _spelled(letter: str) -> str:
    return f"{MARK}{ascii(letter)[1:-1]}{END}"
