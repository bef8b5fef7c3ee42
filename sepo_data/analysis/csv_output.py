"""CSV: exact for programs, and safe for spreadsheets where that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import polars as pl
import polars.selectors as cs

from sepo_data.console.text import listed
from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Iterable

# A spreadsheet overlooks what is not seen before the sign, and in some languages takes the wide signs for the others.
_FORMULA = r"^([\p{C}\p{Z}]*[=+\-@\u{FF1D}\u{FF0B}\u{FF0D}\u{FF20}\u{FE66}\u{FE62}\u{FE63}\u{FE6B}]|[\t\r\n])"


def write_csv(frame: pl.LazyFrame, stream: BinaryIO, *, safe: bool = False) -> None:
    """Compute `frame` and write it to `stream` meanwhile.

    Args:
        frame: without lists.
        stream: binary.
        safe: put an apostrophe before each text and name of a column that a spreadsheet would take for a formula.

    Raises:
        SepoError: `frame` has lists.
    """
    schema = frame.collect_schema()
    if nested := [name for name, kind in schema.items() if kind.is_nested()]:
        raise SepoError(
            f"CSV has no lists, and {listed(nested)} would be lists",
            "use --format ndjson, or select what you need of them, such as array_length(chosen_ids)",
        )
    if not safe or not schema:
        frame.sink_csv(stream)
        return
    # The names apart: two safe ones may be the same, which a frame cannot have.
    _header(schema.names()).sink_csv(stream, include_header=False)
    texts = cs.string() | cs.categorical() | cs.enum()
    frame.with_columns(_without_formulas(texts.cast(pl.String))).sink_csv(stream, include_header=False)


def _header(names: Iterable[str]) -> pl.LazyFrame:
    row = pl.DataFrame([pl.Series([name]).alias(str(at)) for at, name in enumerate(names)])
    return row.lazy().with_columns(_without_formulas(pl.all()))


def _without_formulas(texts: pl.Expr) -> pl.Expr:
    return texts.str.replace(_FORMULA, "'${1}")
