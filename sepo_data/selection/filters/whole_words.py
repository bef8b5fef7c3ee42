"""Filter `--whole-words`: where a part of a word is selected, the rest of the word is, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepo_data.checked import checked
from sepo_data.selection.filter import WORDS, Filter, filter_option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sepo_data.selection.filter import Tokens
    from sepo_data.selection.ragged import Ragged


@filter_option(bool, help="also select the rest of a word of which a part is selected")
@checked()
def whole_words(on: bool = False) -> Filter:  # noqa: FBT001, FBT002 - the value of a flag
    """Every token of a word with a selected token is selected; words end at spaces and punctuation."""
    return Filter("whole_words", on, WORDS, widened=words_with_selected, needs_classes=True)


def words_with_selected(mask: Ragged[np.bool_], tokens: Tokens) -> NDArray[np.bool_]:
    """(tokens,) true for every token of a word that has a true one."""
    import numpy as np

    from sepo_data.selection.ragged import Ragged

    ids = tokens.ids.values
    if not len(ids):
        return mask.values
    joined = np.zeros(len(ids), np.bool_)
    joined[1:] = tokens.classes.ends_inside_word[ids[:-1]] & tokens.classes.opens_inside_word[ids[1:]]
    joined[mask.offsets[:-1][mask.lengths > 0]] = False
    begins = np.append(np.flatnonzero(~joined), len(ids))
    words: Ragged[Any] = Ragged(mask.values, begins)
    complete: NDArray[np.bool_] = words.per_token(words.sums() > 0)
    return complete
