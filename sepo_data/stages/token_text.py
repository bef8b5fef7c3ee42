"""The text of single tokens, for people: what each token adds to the text before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from sepo_data.errors import SepoError
from sepo_data.stages.directory import TOKENIZER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def load_tokenizer_file(folder: Path) -> Tokenizer:
    """The fast tokenizer that a stage directory carries; needs neither transformers nor the Hub."""
    file = folder / TOKENIZER / "tokenizer.json"
    if not file.exists():
        raise SepoError(f"{file} is missing, so token ids cannot be shown as text", "score the dataset again")
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises nothing more exact
        raise SepoError(f"{file} cannot be read: {error}", "score the dataset again") from error


def token_texts(tokenizer: Tokenizer, ids: Sequence[int], context: Sequence[int] = ()) -> list[str]:
    """What each token of `ids` adds to the decoded text, given the tokens before it (`context`).

    A character that is spread over several tokens comes with the last of them; the others are empty. `DecodeStream`
    of tokenizers does the same but refuses text that is cut within a character, as truncation cuts it.
    """
    behind, before = list(context), tokenizer.decode(context, skip_special_tokens=False)
    texts: list[str] = []
    pending: list[int] = []
    for number, token in enumerate(ids, 1):
        pending.append(token)
        after = tokenizer.decode([*behind, *pending], skip_special_tokens=False)
        if after.endswith("\ufffd") and number < len(ids):
            texts.append("")
            continue
        texts.append(after[len(before) :])
        # From here on only these tokens are decoded again: a token late in a text costs no more than an early one.
        behind, pending = pending, []
        before = tokenizer.decode(behind, skip_special_tokens=False)
    return texts
