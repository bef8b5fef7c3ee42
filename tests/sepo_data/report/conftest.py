"""A rewards directory of random pairs, and its pairs as Python lists for plain loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from sepo_data.report.source import open_sources

if TYPE_CHECKING:
    from pathlib import Path

    from sepo_data.report.source import Source

Pairs = list[tuple[list[float], list[float]]]


class Drawn(NamedTuple):
    """A directory and its (chosen, rejected) rewards."""

    folder: Path
    pairs: Pairs
    source: Source


@pytest.fixture(scope="session")
def drawn(tmp_path_factory, rewards_of, write_rewards, texts) -> Drawn:
    """60 pairs in three shards: responses of 1 to 5 tokens (the vocabulary of `texts`), many equal rewards."""
    rng = np.random.default_rng(7)

    def response() -> list[float]:
        return [
            float(rng.integers(-3, 4) / 2 if rng.random() < 0.5 else rng.integers(-64, 65) / 64)
            for _ in range(rng.integers(1, 6))
        ]

    pairs = [(response(), response()) for _ in range(60)]
    pairs[5][0][0], pairs[50][1][0] = 40.0, -30.0  # outliers
    folder = tmp_path_factory.mktemp("drawn") / "rewards"
    tables = [rewards_of(pairs[first:last], first=first) for first, last in ((0, 7), (7, 8), (8, 60))]
    write_rewards(folder, tables, tokenizer=texts)
    return Drawn(folder, pairs, open_sources([folder])[0])


@pytest.fixture(scope="session")
def long_responses(tmp_path_factory, rewards_of, write_rewards) -> Drawn:
    """20 pairs in two shards, responses of 1 to 230 tokens with ties; the tokenizer is not one that can be read."""
    rng = np.random.default_rng(8)

    def response(length: int) -> list[float]:
        return [float(rng.choice([0.5, -0.5, rng.integers(-4096, 4097) / 1024])) for _ in range(length)]

    lengths = [1, 2, 3, 99, 100, 101, 230]
    pairs = [(response(rng.choice(lengths)), response(rng.choice(lengths))) for _ in range(20)]
    folder = tmp_path_factory.mktemp("long") / "rewards"
    write_rewards(folder, [rewards_of(pairs[:13]), rewards_of(pairs[13:], first=13)])
    return Drawn(folder, pairs, open_sources([folder])[0])
