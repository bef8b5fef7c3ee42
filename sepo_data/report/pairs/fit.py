"""Pairs within a number of bytes: fewer of them where they are long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepo_data.report.pairs.json_text import json_text
from sepo_data.schemas.stages import SIDES

if TYPE_CHECKING:
    from sepo_data.report.pairs.encode import Encoder
    from sepo_data.report.pairs.sample import Places

TOKEN_BYTES, TRACK_BYTES, PROMPT_BYTES = 3, 11, 4
"""Of a response token, of its numbers in one directory, and of a prompt token: about as many as they take."""

SPARE = 0.97


def fit_pairs(encoder: Encoder, places: Places, most: int, budget: int) -> tuple[dict[str, Any], int]:
    """The encoded pairs and their number: at most `most` pairs, spread over all, in at most `budget` bytes of JSON.

    A pair that alone takes more is not shown: the number is then 0.
    """
    count = min(most, len(places)) if budget > 0 else 0
    if count and (expected := _expected_bytes(places.sampled(count))) > budget:
        count = max(1, int(count * budget / expected))
    while count > 0:
        encoded = encoder.encode(places.sampled(count))
        size = len(json_text(encoded).encode())
        if size <= budget:
            return encoded, count
        count = min(count - 1, int(count * budget / size * SPARE))
    return encoder.encode(places.sampled(0)), 0


def _expected_bytes(places: Places) -> float:
    lengths = [f"{part}_tokens" for part in ("prompt", *SIDES)]
    first = places.first_frame(lengths)
    responses = sum(int(first[f"{side}_tokens"].sum()) for side in SIDES)
    per_token = TOKEN_BYTES + TRACK_BYTES * len(places.sources)
    return responses * per_token + int(first["prompt_tokens"].sum()) * PROMPT_BYTES
