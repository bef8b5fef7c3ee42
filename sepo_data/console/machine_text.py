"""JSON and CSV on a terminal: what a terminal would obey, or nobody would see, escaped in the way of each format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.console.text import printable, spelt_out, visible

if TYPE_CHECKING:
    from collections.abc import Callable


def visible_json(text: str) -> str:
    """JSON with such characters by their numbers: they stand in strings alone, so it is the same JSON."""
    return "\n".join(visible(line, _json_escape) for line in text.split("\n"))


def _json_escape(letter: str) -> str:
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def visible_csv() -> Callable[[str], str]:
    """A function of the text of a CSV file, piece by piece: line breaks inside quotes are escaped, too.

    A record is a line of the terminal, then, and no cell can pretend to be a record. This is not CSV any more.
    """
    in_quotes = False

    def escape(text: str) -> str:
        nonlocal in_quotes
        parts = []
        for number, part in enumerate(text.split('"')):
            in_quotes ^= number > 0
            parts.append(spelt_out(part) if in_quotes else printable(part))
        return '"'.join(parts)

    return escape
