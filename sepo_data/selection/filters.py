"""What is done around a rule, and in this order.

1. `skip`: the rule sees each response without its punctuation, white space or template tokens. So 30% is 30% of the
   others. A response that would lose all of its tokens keeps them.
2. the rule, which takes no fewer than `min_tokens` and no more than `max_tokens`.
3. `window`: neighbours of selected tokens are selected too, up to n tokens away, whatever they are.
4. `whole_words`: where a part of a word is selected, the rest of it is.
5. `protect`: what is protected is selected in any case.

So `max_tokens` limits what the rule takes, not what the last three add.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sepo_data.console.suggest import did_you_mean
from sepo_data.errors import SepoError
from sepo_data.selection.ragged import Ragged
from sepo_data.selection.token_classes import SKIPPABLE

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydantic import JsonValue

    from sepo_data.selection.token_classes import TokenClasses

    Mask = NDArray[np.bool_]

PROTECTABLE = ("eos",)


@dataclass(frozen=True, slots=True)
class Filters:
    """What surrounds the rule; the defaults do nothing."""

    skip: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    min_tokens: int = 1
    max_tokens: int | None = None
    window: int = 0
    whole_words: bool = False

    def __post_init__(self) -> None:
        for option, given, known in (("skip", self.skip, SKIPPABLE), ("protect", self.protect, PROTECTABLE)):
            for name in given:
                if name not in known:
                    hint = did_you_mean(name, known) or f"there are: {', '.join(known)}"
                    raise SepoError(f"--{option} {name}: there is no such kind of token", hint)
        if self.min_tokens < 1 or self.window < 0 or (self.max_tokens or self.min_tokens) < self.min_tokens:
            raise SepoError(
                f"min_tokens {self.min_tokens}, max_tokens {self.max_tokens}, window {self.window} do not fit together",
                "at least 1 token, a maximum that is not below it, and a window from 0",
            )

    @property
    def needs_texts(self) -> bool:
        """Whether the classes of the vocabulary are needed."""
        return bool(self.skip or self.protect or self.whole_words)

    def options(self) -> dict[str, JsonValue]:
        """What the manifest records: only what differs from doing nothing."""
        found: dict[str, JsonValue] = {}
        if self.skip:
            found["skip"] = ",".join(sorted(set(self.skip)))
        if self.protect:
            found["protect"] = ",".join(sorted(set(self.protect)))
        if self.min_tokens > 1:
            found["min_tokens"] = self.min_tokens
        if self.max_tokens is not None:
            found["max_tokens"] = self.max_tokens
        if self.window:
            found["window"] = self.window
        if self.whole_words:
            found["whole_words"] = True
        return found

    def around(self, mask: Ragged[np.bool_], ids: NDArray[np.int32], classes: TokenClasses | None) -> Mask:
        """The mask of a rule, widened as steps 3 to 5 say."""
        wide = window(mask, self.window) if self.window else mask.values
        if classes is not None and self.whole_words:
            wide = whole_words(mask.with_values(wide), ids, classes)
        if classes is not None and "eos" in self.protect:
            wide = wide | end_of_turn(mask.with_values(ids), classes)
        return wide


def kept_tokens(ids: Ragged[np.int32], names: tuple[str, ...], classes: TokenClasses) -> Mask:
    """(tokens,) what the rule gets to see: all tokens but those of the classes `names`, or all where none is left."""
    kept = ~classes.skipped(ids.values, names)
    seen: Mask = kept | ids.per_token(ids.sums(kept) == 0)
    return seen


def window(mask: Ragged[np.bool_], distance: int) -> Mask:
    """Select every token that is at most `distance` tokens away from a selected one of its response."""
    selected = np.concatenate([[0], np.cumsum(mask.values)])
    place = np.arange(len(mask.values))
    first = np.maximum(place - distance, mask.per_token(mask.offsets[:-1]))
    last = np.minimum(place + distance + 1, mask.per_token(mask.offsets[1:]))
    wide: Mask = selected[last] > selected[first]
    return wide


def whole_words(mask: Ragged[np.bool_], ids: NDArray[np.int32], classes: TokenClasses) -> Mask:
    """Select every token of a word that has a selected token; words end at spaces and punctuation."""
    if not len(ids):
        return mask.values
    joined = np.zeros(len(ids), np.bool_)
    joined[1:] = classes.ends_inside_word[ids[:-1]] & classes.opens_inside_word[ids[1:]]
    joined[mask.offsets[:-1][mask.lengths > 0]] = False
    begins = np.append(np.flatnonzero(~joined), len(ids))
    words: Ragged[Any] = Ragged(mask.values, begins)
    whole: Mask = words.per_token(words.sums() > 0)
    return whole


def end_of_turn(ids: Ragged[np.int32], classes: TokenClasses) -> Mask:
    """The first special token after the last text of a response: its end of turn. None where truncation cut it away."""
    row = np.repeat(np.arange(len(ids.lengths)), ids.lengths)
    special = classes.template[ids.values]
    text = ~special & ~classes.whitespace[ids.values]
    after_text = np.zeros(len(ids.lengths), np.int64)
    np.maximum.at(after_text, row[text], ids.positions[text] + 1)
    behind = np.flatnonzero(special & (ids.positions >= ids.per_token(after_text)))
    _, first = np.unique(row[behind], return_index=True)
    ends = np.zeros(len(ids.values), np.bool_)
    ends[behind[first]] = True
    return ends
