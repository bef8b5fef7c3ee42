"""Escape values from data for Markdown: nothing in them acts as markup."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from sepo_data.console.text import spelt_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import JsonValue


def as_text(text: str) -> str:
    """A text on one line, also fit for a cell of a table."""
    return re.sub(r"([\\`*_{}\[\]<>#|&~$!])", r"\\\1", " ".join(spelt_out(text).split()))


def as_value(value: JsonValue) -> str:
    """An integer with separated thousands, a float with six significant digits, anything else as a text."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return as_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def as_code(text: str) -> str:
    """A hash or a commit as code; anything else as a text."""
    return f"`{text}`" if re.fullmatch(r"[\w:.-]+", text, re.ASCII) else as_text(text)


def as_python(text: str) -> str:
    """A text as a literal of Python, within one line of a block of code."""
    literal = repr(text)
    return literal if '"' in text or "'" in text else f'"{literal[1:-1]}"'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first cell of each of `rows` is a plain text, the others are Markdown already."""
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join([as_text(first), *rest])} |" for first, *rest in rows)])
