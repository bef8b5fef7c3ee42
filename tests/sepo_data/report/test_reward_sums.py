"""Sums by groups of tokens and their means."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from sepo_data.errors import SepoError
from sepo_data.report.reward_sums import SUMS, check_vocabulary, reward_sums, with_means


def test_each_group_has_its_sums():
    groups = np.array([2, 0, 2, 2], np.int32)
    rewards = np.array([1.0, -3.0, -0.5, 0.5], np.float32)
    assert SUMS == ("tokens", "reward", "squares", "absolute_reward")
    assert reward_sums(groups, rewards, 4).T.tolist() == [[1, -3, 9, 3], [0, 0, 0, 0], [3, 1, 1.5, 2], [0, 0, 0, 0]]


def test_no_tokens_have_no_sums():
    assert reward_sums(np.zeros(0, np.int32), np.zeros(0, np.float32), 2).tolist() == [[0, 0]] * 4


def test_sums_are_in_float64():
    rewards = np.array([2.0**24, 1.0, 1.0], np.float32)
    assert reward_sums(np.zeros(3, np.int32), rewards, 1)[1].tolist() == [2.0**24 + 2]


def test_a_mean_needs_one_token_and_an_interval_two():
    sums = pl.DataFrame(dict(zip(SUMS, ([0, 1, 2], [0.0, 0.5, 2.0], [0.0, 0.25, 2.0], [0.0, 0.5, 2.0]), strict=True)))
    found = with_means(sums)
    assert found.columns == ["tokens", "absolute_reward", "mean_reward", "low", "high"]
    assert found.select("mean_reward", "low", "high").rows() == [
        (None, None, None),
        (0.5, None, None),
        (1.0, 1.0, 1.0),
    ]


def test_an_id_beyond_the_vocabulary_is_refused():
    check_vocabulary(np.array([0, 9], np.int32), 10)
    check_vocabulary(np.zeros(0, np.int32), 0)
    with pytest.raises(
        SepoError, match="token id 2147483647 is not in the tokenizer of the directory, which has 10 ids"
    ):
        check_vocabulary(np.array([3, 2**31 - 1], np.int32), 10)
