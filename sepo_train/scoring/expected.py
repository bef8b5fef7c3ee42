"""Pairs and skipped rows that a scoring run will have, counted before a model is loaded."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

from sepo_data.preferences.skipped import check_skipped, enforce_on_bad_row
from sepo_data.shapes.pairs import SkippedRow

if TYPE_CHECKING:
    from sepo_data.preferences.preferences import Preferences
    from sepo_data.preferences.skipped import OnBadRow
    from sepo_train.scoring.options import ScoringOptions
    from sepo_train.scoring.plan import ScoringPlan


def check_reading(preferences: Preferences, options: ScoringOptions) -> None:
    """Raise where reading alone finds more rows that cannot be used than `options` allow.

    It takes seconds where scoring takes hours. Rows that only tokenization or a model finds unusable are not counted.
    """
    if options.max_skipped is None and options.on_bad_row == "skip":
        return
    reasons: Counter[str] = Counter()
    for row in preferences:
        if isinstance(row, SkippedRow):
            enforce_on_bad_row([row], options.on_bad_row)
            reasons[row.reason] += 1
    counted = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    check_skipped(reasons, preferences.rows, options.max_skipped, consequence=f"nothing was scored ({counted})")


def count_pairs(plan: ScoringPlan, on_bad_row: OnBadRow) -> dict[str, Any]:
    """The results of a dry run: shards, pairs, tokens by part, skipped rows, unread columns, bytes on disk."""
    rows = 0
    tokens: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    with closing(plan.dataset.chunks()) as chunks:
        for pairs, skipped in chunks:
            enforce_on_bad_row(skipped, on_bad_row)
            rows += len(pairs)
            reasons.update(row.reason for row in skipped)
            for item in pairs:
                tokens.update(prompt=len(item.prompt_ids), chosen=len(item.chosen_ids), rejected=len(item.rejected_ids))
    responses = tokens["chosen"] + tokens["rejected"]
    # Ids, two log-probabilities and a reward are four bytes each; the text takes about four bytes a token as well.
    return {
        "shards": plan.shards,
        "rows": rows,
        "tokens": dict(tokens),
        "skipped": dict(sorted(reasons.items())),
        "unread": plan.dataset.preferences.unread,
        "estimated_bytes": 8 * tokens["prompt"] + 20 * responses,
    }
