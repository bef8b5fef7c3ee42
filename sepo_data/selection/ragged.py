"""Lists of one value per token as two flat arrays: all values one after the other, and the start of each response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa

from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Ragged(Generic[Value]):
    """A list column: response i has `values[offsets[i] : offsets[i + 1]]`."""

    values: NDArray[Value]
    offsets: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(rows,) tokens of each response."""
        return np.diff(self.offsets)

    @property
    def positions(self) -> NDArray[np.int64]:
        """(tokens,) each token's place in its response, from 0."""
        places: NDArray[np.int64] = np.arange(len(self.values)) - self.per_token(self.offsets[:-1])
        return places

    def per_token(self, of_rows: NDArray[Any]) -> NDArray[Any]:
        """(tokens,) the value of each token's row."""
        return np.repeat(of_rows, self.lengths)

    def sums(self, of_tokens: NDArray[Any] | None = None) -> NDArray[Any]:
        """(rows,) sums of `of_tokens` (`values` by default), left to right; counts where it is booleans."""
        terms = self.values if of_tokens is None else of_tokens
        if terms.dtype == np.bool_:
            terms = terms.view(np.uint8)  # summed four times as fast
        kind = np.int64 if terms.dtype.itemsize == 1 else terms.dtype
        sums = np.zeros(len(self.offsets) - 1, kind)
        filled = self.lengths > 0
        if filled.any():
            starts = self.offsets[:-1][filled]
            sums[filled] = np.add.reduceat(terms, starts, dtype=np.int32 if kind == np.int64 else kind)
        return sums

    def with_values(self, values: NDArray[Any]) -> Ragged[Any]:
        """Other values of the same tokens."""
        return Ragged(values, self.offsets)

    def to_series(self, name: str = "") -> pl.Series:
        """The list column; numbers are not copied, booleans become bits."""
        if self.values.dtype == np.bool_:
            bits = pa.py_buffer(np.packbits(self.values.astype(np.bool_, copy=False), bitorder="little"))
            values = pa.Array.from_buffers(pa.bool_(), len(self.values), [None, bits])
        else:
            values = pa.array(np.ascontiguousarray(self.values))
        return pl.Series(name, pl.from_arrow(pa.LargeListArray.from_arrays(pa.array(self.offsets), values)))


def ragged(column: pl.Series) -> Ragged[Any]:
    """The flat arrays of a list column, without copying numbers that lie in one piece."""
    lists = column.rechunk().to_arrow()
    offsets = lists.offsets.to_numpy()
    values = lists.values.slice(offsets[0] if len(offsets) else 0, offsets[-1] - offsets[0] if len(offsets) else 0)
    if lists.null_count or values.null_count:
        raise SepoError(f"column {column.name} has nulls", "every response needs one value per token")
    flat = values.to_numpy(zero_copy_only=False)
    return Ragged(flat, offsets - offsets[0] if len(offsets) else np.zeros(1, np.int64))
