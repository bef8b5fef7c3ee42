"""Mixtures: several datasets read as one, the number of rows of each, and their order."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sepo_data.readers.source import Source

SOURCE = "source"
"""The column with the part of each pair."""


@dataclass(frozen=True)
class Mixture:
    """The name, fingerprint and size of a mixture, with the attributes of a `Source`."""

    name: str
    split: str | None
    fingerprint: str
    rows: int


def parse_part(text: str) -> tuple[str, float]:
    """Name and weight of `NAME=WEIGHT`; raises `ValueError`."""
    name, _, number = text.rpartition("=")
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not name or not (math.isfinite(weight) and weight > 0):
        raise ValueError(f"{text!r}: write NAME=WEIGHT, such as prefs.jsonl=0.7")
    return name, weight


def mixture(sources: Sequence[Source], weights: Sequence[float], rows: int) -> Mixture:
    """`rows` rows of `sources`, mixed; raises where two of them have the same content."""
    by_content: dict[str, Source] = {}
    for source in sources:
        if (other := by_content.setdefault(source.fingerprint, source)) is not source:
            raise SepoError(
                f"{source.name} has the same rows as {other.name}, and they would come twice",
                "name it once, and add up the weights",
            )
    content = json.dumps([[source.fingerprint, weight] for source, weight in zip(sources, weights, strict=True)])
    return Mixture(
        name=" ".join(f"{source.name}={weight:g}" for source, weight in zip(sources, weights, strict=True)),
        split=sources[0].split if len({source.split for source in sources}) == 1 else None,
        fingerprint=hashlib.sha256(content.encode()).hexdigest(),
        rows=rows,
    )


def part_rows(sizes: Sequence[int], weights: Sequence[float]) -> list[int]:
    """The number of rows of each part: as many as the weights allow while no row is taken twice.

    The part that is smallest for its weight is used up; 0.7 is seven tenths, not the nearest binary number.
    """
    exact = [Fraction(str(weight)) for weight in weights]
    scale = min(size / weight for size, weight in zip(sizes, exact, strict=True))
    return [math.floor(scale * weight) for weight in exact]


def interleaved(counts: Sequence[int]) -> NDArray[np.intp]:
    """The part of each row, shape (rows,): every beginning has the parts' proportions, to within a row."""
    parts = np.repeat(np.arange(len(counts)), counts)
    turns = np.concatenate([(np.arange(count) + 0.5) / count for count in counts if count])
    return parts[np.argsort(turns, kind="stable")]
