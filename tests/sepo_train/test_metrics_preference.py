"""Accuracy and margins of pairs small enough to work out by hand."""

import numpy as np
import polars as pl
from torch import tensor

from sepo_data.analysis.named_queries import named_query
from sepo_train.metrics import implicit_reward, preference, preferred

PAIRS = [
    (tensor([-1.0, -3.0]), tensor([-4.0])),  # means -2 and -4: right by 2
    (tensor([-2.0]), tensor([-1.0, -1.0, -1.0])),  # means -2 and -1: wrong by 1, though the sums are the other way
]


def test_a_model_by_itself():
    found = preference(PAIRS)
    assert found["accuracy"]["mean"] == 0.5
    assert found["margin"] == {"mean": 0.5, "se": 1.5}  # 2 and -1: s = 3 / sqrt(2), over sqrt(2)
    assert found["chosen_logps"]["mean"] == -2.0
    assert found["rejected_logps"]["mean"] == -2.5


def test_a_model_against_another():
    other = [(tensor([-2.0, -2.5]), tensor([-4.0])), (tensor([-2.5]), tensor([-1.5, -1.25, -1.0]))]
    # Log ratios: 1, -0.5 | 0 and 0.5 | 0.5, 0.25, 0.
    found = implicit_reward(PAIRS, other)
    assert found["summed"]["margin"]["mean"] == 0.125  # 0.5 - 0 and 0.5 - 0.75
    assert found["summed"]["accuracy"]["mean"] == 0.5
    assert found["per_token"]["margin"]["mean"] == 0.25  # 0.25 - 0 and 0.5 - 0.25
    assert found["per_token"]["accuracy"]["mean"] == 1.0


def test_a_model_against_itself_prefers_nothing():
    found = implicit_reward(PAIRS, PAIRS)
    for kind in ("summed", "per_token"):
        assert found[kind] == {"accuracy": {"mean": 0.5, "se": 0.0}, "margin": {"mean": 0.0, "se": 0.0}}


def test_a_tie_is_half_a_pair_wherever_an_accuracy_is_computed():
    margins = [2.0, 0.0, -0.0, -1.0, 0.5]
    expected = [1.0, 0.5, 0.5, 0.0, 1.0]
    assert preferred(np.array(margins)).tolist() == expected
    assert preferred(tensor(margins)).tolist() == expected
    pairs = pl.LazyFrame({"margin": margins, "prompt_tokens": [4] * 5, "oracle_seen": [True] * 5})
    answer = pl.SQLContext({"pairs": pairs}).execute(named_query("oracle-accuracy-by-prompt-length").sql).collect()
    assert answer["accuracy"].to_list() == [sum(expected) / 5]
    assert pairs.select(((pl.col("margin").sign() + 1) / 2).mean()).collect().item() == sum(expected) / 5
