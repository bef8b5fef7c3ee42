"""Soft weights: the formulas on Python's own floats, float32 and finite whatever the rewards."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepo_data.errors import SepoError
from sepo_data.selection.parse import parse_weights
from sepo_data.selection.rules.top import top
from sepo_data.selection.selection import Selection, mask_columns

LARGEST = 2.0**127 * (2 - 2.0**-23)
TINY = 2.0**-149
REWARD = st.floats(-3, 3, width=32) | st.sampled_from([0.0, -0.0, TINY, LARGEST, -LARGEST])
LOGP = st.floats(-60, 0, width=32)
TOKENS = st.lists(st.tuples(REWARD, LOGP, LOGP), min_size=1, max_size=20)


def frame_of(rows):
    """The same (reward, oracle logp, ref logp) a token on both sides."""
    columns = {"pair_id": ["00"] * len(rows)}
    for side in ("chosen", "rejected"):
        names = ("rewards", "oracle_logps", "ref_logps")
        columns |= {f"{side}_{name}": [[t[place] for t in row] for row in rows] for place, name in enumerate(names)}
        columns[f"{side}_ids"] = [[0] * len(row) for row in rows]
    schema = {name: pl.String if name == "pair_id" else pl.List(pl.Float32) for name in columns}
    return pl.DataFrame(columns, schema=schema)


def weights_of(rows, text, share="50%"):
    [made] = mask_columns(frame_of(rows), [Selection(top(share), weights=parse_weights(text))])
    assert made.columns[-2:] == ["chosen_weights", "rejected_weights"]
    return made.to_dicts()


def softmax(rewards, _oracle, _ref, sign, mask):
    highest = max(sign * r for r, m in zip(rewards, mask, strict=True) if m)
    powers = [math.exp((sign * r - highest) / 0.5) if m else 0.0 for r, m in zip(rewards, mask, strict=True)]
    return [sum(mask) * power / sum(powers) for power in powers]


def tis(_rewards, oracle, ref, sign, mask):
    ratios = [min(1.5, max(-0.5, o - r)) for o, r in zip(oracle, ref, strict=True)]
    return [math.exp(sign * ratio) * m for ratio, m in zip(ratios, mask, strict=True)]


def linear(rewards, _oracle, _ref, sign, mask):
    return [min(LARGEST, max(0.0, 1 + 0.5 * sign * r)) * m for r, m in zip(rewards, mask, strict=True)]


@given(st.lists(TOKENS, min_size=1, max_size=4))
@settings(deadline=None, max_examples=60)
@pytest.mark.parametrize(("text", "formula"), [("softmax(0.5)", softmax), ("tis", tis), ("linear(slope=0.5)", linear)])
def test_the_formulas(text, formula, rows):
    for row, made in zip(rows, weights_of(rows, text), strict=True):
        for sign, side in ((1, "chosen"), (-1, "rejected")):
            mask, weights = made[f"{side}_mask"], made[f"{side}_weights"]
            assert np.isfinite(weights).all()
            expected = formula(*(np.array(row, np.float64).T.tolist()), sign, mask)
            assert np.allclose(weights, expected, rtol=1e-5, atol=1e-7)
            assert not any(w for w, marked in zip(weights, mask, strict=True) if not marked)


@given(st.lists(TOKENS, min_size=1, max_size=4), st.sampled_from(["softmax", "softmax(1e-9)", "softmax(1e9)"]))
@settings(deadline=None, max_examples=60)
def test_softmax_has_mean_1(rows, text):
    for made in weights_of(rows, text):
        for side in ("chosen", "rejected"):
            assert math.isclose(sum(made[f"{side}_weights"]), made[f"{side}_selected"], rel_tol=1e-5)


def test_by_hand():
    # The log-ratios 2 and -1 are clipped to 1.5 and -0.5.
    row = [(1.0, -1.0, -3.0), (0.0, -4.0, -3.0)]
    [made] = weights_of([row], "tis", "100%")
    assert np.allclose(made["chosen_weights"], [math.exp(1.5), math.exp(-0.5)])
    assert np.allclose(made["rejected_weights"], [math.exp(-1.5), math.exp(0.5)])
    [made] = weights_of([row], "linear(0.5)", "100%")
    assert (made["chosen_weights"], made["rejected_weights"]) == ([1.5, 1.0], [0.5, 1.0])
    [made] = weights_of([row], "softmax(1)", "100%")
    # e / (e + 1) and 1 / (e + 1), times 2
    assert np.allclose(made["chosen_weights"], [2 * math.e / (math.e + 1), 2 / (math.e + 1)])


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("softmax", "softmax(temperature=0.1)"),
        ("tis(-1, high=1)", "tis(low=-1.0, high=1.0)"),
        ("linear", "linear(slope=0.5)"),
    ],
)
def test_weights_as_text(text, canonical):
    assert str(parse_weights(text)) == canonical
    assert str(parse_weights(canonical)) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sofmax", "unknown weights 'sofmax'"),
        ("softmax(0)", "temperature is 0, below"),
        ("softmax(cold)", "temperature=cold is not a number"),
        ("tis(1, 0)", "are no bounds"),
        ("linear(inf)", "slope=inf is not a number"),
    ],
)
def test_mistakes_are_explained(text, message):
    with pytest.raises(SepoError, match=message):
        parse_weights(text)
