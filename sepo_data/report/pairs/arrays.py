"""Arrays as the script of the page reads them: little-endian bytes in base64."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

THOUSANDTHS = 1000
MOST_THOUSANDTHS = 65535
"""The lowest log-probability of a token that is kept in 16 bits is -65.535."""


def packed(values: ArrayLike, kind: str) -> str:
    """`values` as `kind`, a type of NumPy such as `int32`."""
    return base64.b64encode(np.asarray(values).astype(np.dtype(kind).newbyteorder("<")).tobytes()).decode()


def packed_codes(codes: NDArray[np.integer[Any]], count: int) -> dict[str, str]:
    """Codes below `count`, in 16 bits where they fit."""
    kind = "uint16" if count <= np.iinfo(np.uint16).max + 1 else "uint32"
    return {kind: packed(codes, kind)}


def packed_bits(mask: NDArray[np.bool_]) -> str:
    """A bit each, the first one the lowest of the first byte."""
    return base64.b64encode(np.packbits(mask, bitorder="little").tobytes()).decode()


def packed_logps(logps: NDArray[np.float32]) -> dict[str, str]:
    """Log-probabilities, rounded to thousandths where they fit in 16 bits: people read three digits of them."""
    thousandths = np.rint(-logps.astype(np.float64) * THOUSANDTHS)
    if len(logps) and not (thousandths.min() >= 0 and thousandths.max() <= MOST_THOUSANDTHS):
        return {"float32": packed(logps, "float32")}
    return {"thousandths": packed(thousandths, "uint16")}
