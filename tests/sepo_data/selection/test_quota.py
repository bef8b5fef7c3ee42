"""Shares are exact integers, whatever way they are written."""

import contextlib
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepo_data.selection.quota import Quota, parse_quota
from sepo_data.share import format_share, parse_share


@pytest.mark.parametrize(
    ("text", "basis_points"),
    [
        ("30%", 3000), ("0.3", 3000), (".3", 3000), (" 30 % ", 3000), ("30.00%", 3000), ("7%", 700), ("0.07", 700),
        ("100%", 10_000), ("1", 10_000), ("1.0", 10_000), ("0.01%", 1), ("0.0001", 1), ("1e-2", 100), ("33.33%", 3333),
        ("0.29", 2900), ("0.57", 5700),
    ],
)  # fmt: skip
def test_parse(text, basis_points):
    assert parse_share(text) == basis_points


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("30", "'30' may mean a percentage or a fraction: write 30% or a number up to 1"),
        ("1.5", "'1.5' may mean a percentage or a fraction: write 1.5% or a number up to 1"),
        ("0", "'0' is not a share: write more than 0% and at most 100%"),
        ("0%", "'0%' is not a share: write more than 0% and at most 100%"),
        ("-5%", "'-5%' is not a share: write more than 0% and at most 100%"),
        ("-0.1", "'-0.1' is not a share: write more than 0% and at most 100%"),
        ("100.01%", "'100.01%' is not a share: write more than 0% and at most 100%"),
        ("33.333%", "'33.333%' is finer than a hundredth of a percent"),
        ("0.00001", "'0.00001' is finer than a hundredth of a percent"),
        *((text, f"{text!r} is not a share: write 30% or 0.3") for text in (
            "", "%", "x", "30%%", "1/3", "nan", "nan%", "inf", "-inf%", "sNaN", "1e999999", "1e999999%"
        )),
    ],
)  # fmt: skip
def test_what_is_no_share_is_a_sentence(text, sentence):
    with pytest.raises(ValueError) as caught:
        parse_share(text)
    assert str(caught.value) == sentence


def test_a_decimal_is_exact():
    assert parse_share(Decimal("0.3")) == 3000
    for wrong in ("30", "0", "NaN", "Infinity", "0.00001"):
        with pytest.raises(ValueError, match=r"\S"):
            parse_share(Decimal(wrong))


@given(st.text(max_size=8) | st.from_regex(r"-?[0-9.e]{1,9}%?", fullmatch=True))
def test_any_text_is_a_share_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert 1 <= parse_share(text) <= 10_000


@given(st.integers(1, 10_000))
def test_round_trip(basis_points):
    assert parse_share(format_share(basis_points)) == basis_points
    assert "E" not in format_share(basis_points)


@pytest.mark.parametrize(
    ("tokens", "basis_points", "selected"),
    [
        (100, 700, 7),  # floor(0.07 * 100) in floats is 7.000000000000001, 0.29 * 100 is 28.999999999999996
        (100, 2900, 29),
        (100, 5700, 57),
        (10, 3000, 3),
        (9, 3000, 2),  # 2.7
        (9, 1000, 1),  # 0.9 is not nothing
        (1, 1, 1),
        (1, 10_000, 1),
        (7, 10_000, 7),
        (3, 6666, 1),  # 1.9998
        (3, 6667, 2),  # 2.0001
        (10**9, 3333, 333_300_000),
    ],
)
def test_k_of(tokens, basis_points, selected):
    assert Quota(basis_points=basis_points).k_of(tokens) == selected


@given(st.lists(st.integers(0, 2**40), max_size=20), st.integers(1, 10_000) | st.none(), st.integers(1, 100))
def test_k_is_one_formula_for_ints_arrays_and_expressions(lengths, basis_points, tokens):
    quota = Quota(basis_points=basis_points) if basis_points else Quota(tokens=tokens)
    expected = [max(1, n * basis_points // 10_000) if basis_points else tokens for n in lengths]
    assert [quota.k_of(n) for n in lengths] == expected
    assert all(type(quota.k_of(n)) is int for n in lengths)
    array = quota.k_of(np.array(lengths, np.int64))
    assert (array.dtype, array.tolist()) == (np.int64, expected)
    column = pl.DataFrame({"n": lengths}, schema={"n": pl.Int64}).select(quota.k_of(pl.col("n"))).to_series()
    assert (column.dtype, column.to_list()) == (pl.Int64, expected)


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("30%", Quota(basis_points=3000)),
        ("0.3", Quota(basis_points=3000)),
        ("16t", Quota(tokens=16)),
        ("1 token", Quota(tokens=1)),
    ],
)
def test_a_quota_is_a_share_or_a_number(text, quota):
    assert parse_quota(text) == parse_quota(str(quota)) == parse_quota(quota) == quota
