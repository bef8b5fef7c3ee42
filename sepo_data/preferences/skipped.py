"""Rows that give no pair: counted and written down, or a reason to stop at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sepo_data.shapes.pairs import SkippedRow

OnBadRow = Literal["skip", "fail"]
"""Set bad rows aside, or stop at the first."""

WANTED = frozenset({"duplicate"})
"""Reasons for which rows are set aside because somebody asked for it: nothing is wrong with them."""


def judge(skipped: Iterable[SkippedRow], on_bad_row: OnBadRow) -> None:
    """Where bad rows are not to be set aside, raise for the first of `skipped`."""
    bad = min((row for row in skipped if row.reason not in WANTED), key=lambda row: row.row, default=None)
    if bad is not None and on_bad_row == "fail":
        raise SepoError(
            f"row {bad.row} cannot be used ({bad.reason}): {bad.detail}",
            "mend or drop it, or let such rows be set aside with --on-bad-row skip",
        )


def bad_count(reasons: Mapping[str, int]) -> int:
    """How many rows were set aside because something is wrong with them."""
    return sum(count for reason, count in reasons.items() if reason not in WANTED)


def reasons_text(reasons: Mapping[str, int]) -> str:
    """How many rows were set aside, and for which reasons."""
    counted = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
    return f"{sum(reasons.values()):,} rows set aside" + (f": {counted}" if counted else "")


def skipped_lines(skipped: Iterable[Mapping[str, Any]]) -> str:
    """The text of a `skipped.jsonl`: row, reason and detail, one line each."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in skipped)
