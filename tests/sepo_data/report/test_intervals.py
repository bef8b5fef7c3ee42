"""Intervals of shares and means, against published values and by hand."""

from __future__ import annotations

from statistics import NormalDist, mean, stdev

import polars as pl
import pytest

from sepo_data.report.intervals import Z, mean_interval, wilson_interval


def interval(function, **columns):
    found = pl.DataFrame({name: [value] for name, value in columns.items()}).select(
        low=(bounds := function(*map(pl.col, columns)))[0], high=bounds[1]
    )
    return found.row(0)


def test_the_quantile_is_that_of_the_normal_distribution():
    assert pytest.approx(NormalDist().inv_cdf(0.975)) == Z


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
        (0, 1, 0.0, 0.7935),
        (1, 1, 0.2065, 1.0),
    ],
)
def test_the_share_has_the_published_interval(successes, total, low, high):
    assert interval(wilson_interval, successes=successes, total=total) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("total", [1, 3, 7, 1000, 10**9])
def test_no_share_is_beyond_the_ends(total):
    none, every = (interval(wilson_interval, successes=count, total=total) for count in (0, total))
    assert none[0] == 0
    assert every[1] == 1
    assert none[1] == pytest.approx(1 - every[0])
    assert 0 < none[1] < 1


def test_nothing_counted_has_no_share():
    assert interval(wilson_interval, successes=0, total=0) == (None, None)


def test_many_rows_are_computed_at_once():
    counts = pl.DataFrame({"hit": [0, 5, 0], "all": [0, 10, 10]})
    low, high = wilson_interval(pl.col("hit"), pl.col("all"))
    assert counts.select(low.round(4).alias("low"), high.round(4).alias("high")).rows() == [
        (None, None),
        (0.2366, 0.7634),
        (0.0, 0.2775),
    ]


def test_the_mean_has_the_interval_of_its_standard_error():
    values = [0.25, -1.5, 3.0, 0.125, 0.5]
    half = 1.959964 * stdev(values) / 5**0.5
    sums = {"count": 5, "total": sum(values), "squares": sum(value**2 for value in values)}
    assert interval(mean_interval, **sums) == pytest.approx((mean(values) - half, mean(values) + half))


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e6])
def test_equal_values_have_no_spread(value):
    sums = {"count": 3, "total": value * 3, "squares": value**2 * 3}
    assert interval(mean_interval, **sums) == pytest.approx((value, value), abs=abs(value) * 1e-6)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_values_have_no_interval(count):
    assert interval(mean_interval, count=count, total=0.5 * count, squares=0.25 * count) == (None, None)
