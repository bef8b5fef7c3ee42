"""The text of single tokens, for people: what each token adds to the text before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from schemas.errors import SepoError
from sepo_data.directory import TOKENIZER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def load_tokenizer_file(folder: Path) -> Tokenizer:
    """The fast tokenizer that a stage directory carries; needs neither transformers nor the Hub."""
    file = folder / TOKENIZER / "tokenizer.json"
    if not file.exists():
        raise SepoError(f"{file} is missing, so token ids cannot be shown as text", "score the dataset again")
    return Tokenizer.from_file(str(file))


def token_texts(tokenizer: Tokenizer, ids: Sequence[int], context: Sequence[int] = ()) -> list[str]:
    """What each token of `ids` adds to the decoded text, given the tokens before it (`context`).

    A character that is spread over several tokens comes with the last of them; the others are empty.
    """
    stream = DecodeStream(ids=list(context), skip_special_tokens=False)
    return [stream.step(tokenizer, token) or "" for token in ids]
