"""HTML of texts from data: what is not seen is spelled out, what HTML reads is escaped."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from sepo_data.report.pairs.side_columns import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def escaped(text: object) -> str:
    """`text` in one line, for an element or for an attribute in quotes."""
    return html.escape(plain(str(text)))


def definitions(entries: Iterable[tuple[str, str]]) -> str:
    """A `<dl>` of terms and texts, which are escaped here."""
    pairs = (f"<div><dt>{escaped(term)}</dt><dd>{escaped(text)}</dd></div>" for term, text in entries)
    return f"<dl>{''.join(pairs)}</dl>"


def signed(value: float, digits: int = 3) -> str:
    """A number with its sign; minus is as wide as plus."""
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def percent(share: float) -> str:
    return f"{share:.1%}"


def counted(pairs: int) -> str:
    return f"{pairs:,} pair{'s' * (pairs != 1)}"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
