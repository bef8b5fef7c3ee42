"""Filter `--protect-tokens`: tokens that are selected in any case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.selection.arguments import names_between_commas
from sepo_data.selection.filter import PROTECT, Filter, filter_option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sepo_data.selection.filter import Tokens

KINDS = ("eos",)


@filter_option(str, metavar="A", help=f"select these tokens in any case: {', '.join(KINDS)}")
def protect_tokens(kinds: str = "") -> Filter:
    """The tokens of `kinds`, names between commas, are selected in any case: `eos`, the end of turn."""
    names = names_between_commas("--protect-tokens", kinds, KINDS)
    return Filter(
        "protect_tokens",
        ",".join(names),
        PROTECT,
        widened=lambda mask, tokens: mask.values | end_of_turn(tokens),
        needs_classes=True,
    )


def end_of_turn(tokens: Tokens) -> NDArray[np.bool_]:
    """(tokens,) the first special token after the last text of a response: its end of turn.

    None in a response whose end truncation removed.
    """
    import numpy as np

    ids, classes = tokens.ids, tokens.classes
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
