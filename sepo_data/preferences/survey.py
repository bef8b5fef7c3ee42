"""What has to be known of all rows before the first is used: which pairs come twice, which prompts are held out."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from sepo_data.preferences.duplicates import Duplicates, find_duplicates
from sepo_data.preferences.holdout import Holdout, find_holdout
from sepo_data.shapes.pairs import Pair

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sepo_data.shapes.pairs import SkippedRow


def survey(
    items: Iterable[Pair | SkippedRow], *, dedupe: bool, holdout: int
) -> tuple[Duplicates | None, Holdout | None]:
    """Look at all pairs once, in any order, and keep 24 bytes of each; None for what nobody asked."""
    ids, prompts, rows = array("Q"), array("Q"), array("q")
    for item in items:
        if isinstance(item, Pair):
            ids.append(int(item.pair_id, 16))
            prompts.append(int(item.prompt_id, 16))
            rows.append(item.source_row)
    pair_ids, prompt_ids = np.asarray(ids), np.asarray(prompts)
    duplicates = None
    if dedupe:
        duplicates, stay = find_duplicates(pair_ids, np.asarray(rows))
        prompt_ids = prompt_ids[stay]
    return duplicates, find_holdout(prompt_ids, holdout) if holdout and ids else None
