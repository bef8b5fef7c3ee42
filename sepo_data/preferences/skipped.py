"""Skipped rows: count them, write them to `skipped.jsonl`, or stop at the first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from sepo_data.errors import SepoError
from sepo_data.share import BASIS_POINTS, parse_share

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sepo_data.shapes.pairs import SkippedRow

Truncate = Literal["prompt", "response"]
"""The part that is cut from pairs longer than the maximum, which are otherwise skipped."""

TruncateOrNone = Literal["prompt", "response", "none"]
"""The same where an earlier stage decided: "none" skips longer pairs although they were cut there."""

OnBadRow = Literal["skip", "fail"]
"""Skip unusable rows, or stop at the first."""

REQUESTED = frozenset({"duplicate"})
"""Reasons for which the user asked: nothing is wrong with these rows."""


def enforce_on_bad_row(skipped: Iterable[SkippedRow], on_bad_row: OnBadRow) -> None:
    """With `on_bad_row="fail"`, raise for the first unusable row."""
    first = min((row for row in skipped if row.reason not in REQUESTED), key=lambda row: row.row, default=None)
    if first is not None and on_bad_row == "fail":
        raise SepoError(
            f"row {first.row} cannot be used ({first.reason}): {first.detail}",
            "correct or remove it, or skip such rows with --on-bad-row skip",
        )


def skipped_count(reasons: Mapping[str, int]) -> int:
    """The number of rows that were skipped because something is wrong with them."""
    return sum(count for reason, count in reasons.items() if reason not in REQUESTED)


def rows_allowed(limit: str | float, rows: int) -> int:
    """The number of `rows` that may be skipped: `limit` is a number of rows (20, `"20"`) or a share (`"1%"`, 0.01).

    Raises:
        ValueError: it is neither.
    """
    text = str(limit).strip()
    if text.isdecimal():
        return int(text)
    return 0 if text in {"0%", "0.0"} else rows * parse_share(limit) // BASIS_POINTS


def check_skipped(reasons: Mapping[str, int], rows: int, limit: str | float | None, *, consequence: str) -> None:
    """Raise where more of `rows` were skipped, because something is wrong with them, than `limit` allows.

    Args:
        reasons: number of skipped rows by reason.
        rows: that were read.
        limit: as in `rows_allowed`; None allows any number.
        consequence: what has happened to the output, as the beginning of the hint.
    """
    allowed = rows if limit is None else rows_allowed(limit, rows)
    if (count := skipped_count(reasons)) > allowed:
        raise SepoError(
            f"{count:,} of {rows:,} rows were skipped, --max-skipped allows {allowed:,}",
            f"{consequence}; accept it with --max-skipped {count}",
        )


def reasons_text(reasons: Mapping[str, int]) -> str:
    """The number of skipped rows, and of each reason: `3 rows skipped: 2 null, 1 too_long`."""
    counted = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
    return f"{sum(reasons.values()):,} rows skipped" + (f": {counted}" if counted else "")


def skipped_lines(skipped: Iterable[Mapping[str, Any]]) -> str:
    """The text of a `skipped.jsonl`: row, reason and detail, one line each."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in skipped)
