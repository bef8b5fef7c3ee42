"""The text of single tokens, for people: what each token adds to a text, alone or after the tokens before it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.schemas.folder import TOKENIZER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import polars as pl
    from tokenizers import Tokenizer

BROKEN = "\N{REPLACEMENT CHARACTER}"
"""Stands in decoded text for bytes that are no complete character."""

AGAIN = "run the same `sepo score` or `sepo select` again, which writes the tokenizer again"


def load_tokenizer_file(folder: Path) -> Tokenizer:
    """The fast tokenizer that a stage directory carries; needs neither transformers nor the Hub."""
    from tokenizers import Tokenizer

    file = folder / TOKENIZER / "tokenizer.json"
    if not file.exists():
        raise SepoError(f"{file} is missing, so token ids cannot be shown as text", AGAIN)
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises nothing more exact
        raise SepoError(f"{file} cannot be read: {error}", AGAIN) from error


def token_texts(tokenizer: Tokenizer, ids: Sequence[int], context: Sequence[int] = ()) -> list[str]:
    """Text that each token of `ids` adds to the decoded text, given the tokens before it (`context`).

    A character that is spread over several tokens comes with the last of them; the others are empty. `DecodeStream`
    of tokenizers does the same but refuses text that is cut within a character, as truncation cuts it.
    """
    behind, before = list(context), tokenizer.decode(context, skip_special_tokens=False)
    texts: list[str] = []
    pending: list[int] = []
    for number, token in enumerate(ids, 1):
        pending.append(token)
        after = tokenizer.decode([*behind, *pending], skip_special_tokens=False)
        if after.endswith(BROKEN) and number < len(ids):
            texts.append("")
            continue
        texts.append(after[len(before) :])
        # From here on only these tokens are decoded again: a token late in a text costs no more than an early one.
        behind, pending = pending, []
        before = tokenizer.decode(behind, skip_special_tokens=False)
    return texts


def text_series(folder: Path) -> pl.Series:
    """The text of every token id of the tokenizer in `folder`, at the id's place."""
    import polars as pl

    return pl.Series("token", single_texts(load_tokenizer_file(folder)), dtype=pl.String)


def single_texts(tokenizer: Tokenizer) -> list[str]:
    """Text that each token id, from 0, adds to a text; bytes that are no complete character are shown as `<0xE2>`.

    Each id is decoded after a plain letter: at the start of a text some decoders take a space away.
    """
    size = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    letter = tokenizer.token_to_id("a")
    before = [] if letter is None else [letter]
    start = tokenizer.decode(before, skip_special_tokens=False)
    texts = tokenizer.decode_batch([[*before, token] for token in range(size)], skip_special_tokens=False)
    return [
        _spelled(tokenizer.id_to_token(token) or "", text) if BROKEN in text else text.removeprefix(start)
        for token, text in enumerate(texts)
    ]


def _spelled(token: str, text: str) -> str:
    """A token that breaks a character, spelled from its entry in the vocabulary; `text` where that adds nothing."""
    if re.fullmatch("<0x[0-9A-F]{2}>", token):
        return token
    if not all(letter in _BYTES for letter in token):
        return text
    whole = bytes(_BYTES[letter] for letter in token).decode("utf-8", "surrogateescape")
    return "".join(f"<0x{ord(letter) - 0xDC00:02X}>" if "\udc80" <= letter <= "\udcff" else letter for letter in whole)


def _byte_letters() -> dict[str, int]:
    """The byte of each letter in a byte-level vocabulary (the inverse of GPT-2's `bytes_to_unicode`)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


_BYTES = _byte_letters()
