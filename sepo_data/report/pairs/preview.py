"""The line that stands for a pair in the list: the beginning of what it asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepo_data.report.pairs.side_columns import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST = 90
"""Characters of the line."""

READ = 400
"""Characters that are looked at: a prompt may begin with blanks."""


def preview(prompt: str | Sequence[dict[str, Any]] | None) -> str:
    """The beginning of a prompt in one line; of messages, of the last one that has a text."""
    if isinstance(prompt, str):
        text = prompt
    else:
        contents = [message.get("content") for message in prompt or ()]
        text = next((content for content in reversed(contents) if isinstance(content, str) and content.strip()), "")
    return plain(" ".join(text.lstrip()[:READ].split()))[:LONGEST]
