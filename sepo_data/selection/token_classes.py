"""Classes of the tokens of a vocabulary: white space, punctuation, the template's; and where words begin and end."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sepo_data.stages.token_text import BROKEN, load_tokenizer_file, single_texts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_BYTES = re.compile("<0x[0-9A-F]{2}>")


@dataclass(frozen=True, slots=True, eq=False)
class TokenClasses:
    """(vocabulary,) booleans, indexed by token id."""

    whitespace: NDArray[np.bool_]
    """White space alone."""

    punctuation: NDArray[np.bool_]
    """Punctuation and symbols of Unicode, with or without white space around them."""

    template: NDArray[np.bool_]
    """The tokenizer's special tokens, which come from the chat template and not from the author of the text."""

    opens_inside_word: NDArray[np.bool_]
    """The text begins with a letter of a word, so it continues the word before it."""

    ends_inside_word: NDArray[np.bool_]
    """The text ends with a letter of a word, so the next token may continue it."""

    def any_of(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """(vocabulary,) the tokens of at least one of the classes `names`, fields of this object."""
        found = np.zeros_like(self.template)
        for name in names:
            found |= getattr(self, name)
        return found


def token_classes(folder: Path) -> TokenClasses:
    """The classes of every token id of the tokenizer in `folder`, a stage directory."""
    tokenizer = load_tokenizer_file(folder)
    special = {token for token, entry in tokenizer.get_added_tokens_decoder().items() if entry.special}
    return classify(single_texts(tokenizer), special)


def classify(texts: Sequence[str], special: set[int]) -> TokenClasses:
    """The classes of tokens with these texts, of which those with the ids in `special` are no text.

    Bytes that are no complete character count as letters: where one is selected, the others should be.
    """
    plain = ["" if token in special else _BYTES.sub("a", text).replace(BROKEN, "a") for token, text in enumerate(texts)]
    return TokenClasses(
        whitespace=np.array([text.isspace() for text in plain]),
        punctuation=np.array([_is_punctuation(text.strip()) for text in plain]),
        template=np.array([token in special for token in range(len(texts))]),
        opens_inside_word=np.array([bool(text) and _in_word(text[0]) for text in plain]),
        ends_inside_word=np.array([bool(text) and _in_word(text[-1]) for text in plain]),
    )


def _is_punctuation(text: str) -> bool:
    return bool(text) and all(unicodedata.category(letter)[0] in "PS" for letter in text)


def _in_word(letter: str) -> bool:
    """Letters, digits and marks; none of scripts without spaces between words, where this would join sentences."""
    if unicodedata.east_asian_width(letter) in "WF":
        return False
    return unicodedata.category(letter)[0] in "LNM" or letter in "'\N{RIGHT SINGLE QUOTATION MARK}"
