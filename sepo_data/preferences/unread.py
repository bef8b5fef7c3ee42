"""Columns that are not read: each command that reads preferences prints them before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.console.text import listed, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_PRINTED = 20
"""Names in the line."""

LONGEST_PRINTED = 40
"""Characters of a name in the line."""


def unread_line(columns: Sequence[str]) -> str:
    """`not read: source, id`, of bounded length."""
    names = listed(shortened(column, LONGEST_PRINTED) for column in columns[:MOST_PRINTED])
    return f"not read: {names}" + (f" and {len(columns) - MOST_PRINTED:,} more" if len(columns) > MOST_PRINTED else "")
