"""Rows of a shard by default."""

import pytest
import torch

from sepo_data.schemas.manifest import ModelRecord
from sepo_data.shapes.pairs import Pair
from sepo_data.tokenization.tokenize import TokenizedPair
from sepo_train.scoring.plan import default_shard_rows


def sample(*lengths):
    return [
        TokenizedPair(Pair(0, "p", "c", "r"), [1] * prompt, [2] * chosen, [3] * rejected)
        for prompt, chosen, rejected in lengths
    ]


def models(*parameters):
    return [ModelRecord(name="m", weights="w", parameters=count) for count in parameters]


@pytest.mark.parametrize(
    ("device", "lengths", "parameters", "rows"),
    [
        # 300 s x 1e11 / (2 x 200 tokens x 270M parameters) = 277.8 rows
        ("cpu", [(100, 50, 50)], [135_000_000] * 2, 256),
        # the mean of 100 and 300 tokens is 200
        ("cpu", [(60, 20, 20), (100, 100, 100)], [135_000_000] * 2, 256),
        # 3e13 / (2 x 170 x 270M) = 326.8; 3e13 / (2 x 100 x 270M) = 555.6, the next power of two
        ("cpu", [(90, 40, 40)], [135_000_000] * 2, 256),
        ("cpu", [(50, 25, 25)], [135_000_000] * 2, 512),
        # 3e16 / (2 x 1000 x 16e9) = 937.5
        ("cuda", [(600, 200, 200)], [8_000_000_000] * 2, 512),
        # 3e16 / (2 x 1000 x 9e9) = 1666.7: the models need not be alike
        ("cuda", [(600, 200, 200)], [8_000_000_000, 1_000_000_000], 1024),
        # exactly 2^10 rows: 3e13 / (2 x 1 x 14,648,437,500) = 1024
        ("cpu", [(1, 0, 0)], [14_648_437_500], 1024),
        # 7.5 rows are too few to be worth a file, 3e9 too many to lose
        ("cpu", [(500, 250, 250)], [1_000_000_000] * 2, 64),
        ("cpu", [(2, 2, 1)], [500, 500], 16_384),
    ],
)
def test_a_shard_takes_a_few_minutes(monkeypatch, device, lengths, parameters, rows):
    monkeypatch.setattr("sepo_train.scoring.plan.default_device", lambda: torch.device(device))
    assert default_shard_rows(sample(*lengths), models(*parameters)) == rows
