"""Token ids of texts, and of texts that continue others, with few calls of the tokenizer and no text encoded twice."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Continued:
    """A text, and texts that continue it.

    Attributes:
        ids: of the text alone.
        end: the last of `ids`; those before it stay as they are, whatever follows.
        wholes: for each continuation, the ids of it together with the text that `end` stands for.
    """

    ids: list[int]
    end: list[int]
    wholes: list[list[int]]


class Encoder:
    """A tokenizer on texts alone: nothing is added around them, and nothing is cut off."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._backend = _plain_backend(tokenizer)
        added = tokenizer.added_tokens_decoder.values()
        # Where one of these is the longest, and is not taken for what stands beside it, no other one is looked for.
        unsure = any(token.single_word or (token.special and tokenizer.split_special_tokens) for token in added)
        tokens = () if unsure else (token.content for token in added if not (token.normalized or token.lstrip))
        self._walls = _walls(tuple(tokens), tuple(token.content for token in added))

    def encode(self, texts: Iterable[str]) -> dict[str, list[int]]:
        """The ids of each text: what `tokenizer(texts)` gives, without the offsets and masks that take it longer."""
        distinct = list(dict.fromkeys(texts))
        encodings = self._backend.encode_batch_fast(distinct, add_special_tokens=False)
        return {text: encoding.ids for text, encoding in zip(distinct, encodings, strict=True)}

    def encode_continued(self, items: Sequence[tuple[str, Sequence[str]]]) -> list[Continued]:
        """Encode each text, and each of its continuations together with it, because tokens merge where they meet.

        They cannot merge across a wall, so that what is between two walls is encoded by itself, and but once, and a
        continuation together with what follows the last wall.
        """
        texts = [self._pieces(text) for text, _ in items]
        wholes = [[pieces[-1] + part for part in parts] for pieces, (_, parts) in zip(texts, items, strict=True)]
        ids = self.encode(chain(chain.from_iterable(texts), chain.from_iterable(wholes)))
        return [
            Continued(
                list(chain.from_iterable(ids[piece] for piece in pieces)),
                ids[pieces[-1]],
                [ids[whole] for whole in continued],
            )
            for pieces, continued in zip(texts, wholes, strict=True)
        ]

    def _pieces(self, text: str) -> list[str]:
        """`text`, cut before each of its walls."""
        walls = [match.start() for match in self._walls.finditer(text)] if self._walls else []
        return [text[start:stop] for start, stop in pairwise([0, *filter(None, walls), len(text)])]


def _plain_backend(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    """The tokenizer's backend, or a copy of it if its file asks for truncation, padding or other special tokens.

    `tokenizer(texts)` overrides these in the backend itself; here the caller's tokenizer stays as it is.
    """
    backend: Tokenizer = tokenizer.backend_tokenizer
    split = tokenizer.split_special_tokens
    if backend.truncation is None and backend.padding is None and backend.encode_special_tokens == split:
        return backend
    backend = deepcopy(backend)
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = split
    return backend


@lru_cache(maxsize=8)
def _walls(tokens: tuple[str, ...], added: tuple[str, ...]) -> re.Pattern[str] | None:
    """The ones of `tokens` before which a text can be cut, and its pieces encoded each by itself.

    A tokenizer cuts text at its `added` tokens before it normalizes, splits or merges anything. It looks for them from
    left to right and takes the longest, so a token is found wherever it stands, unless another one lies over its left
    edge: has it inside, ends as it begins, or takes white space that it begins with.
    """
    inside = "\n".join(token[1:] for token in added)
    ends = {token[place:] for token in added for place in range(1, len(token))}
    walls = [
        token
        for token in tokens
        if token not in inside
        and not token[0].isspace()
        and not any(token[:length] in ends for length in range(1, len(token)))
    ]
    return re.compile("|".join(map(re.escape, walls))) if walls else None
