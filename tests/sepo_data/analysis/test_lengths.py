"""Lengths: percentiles, histograms."""

import pytest

from sepo_data.analysis.lengths import Lengths, histogram_lines


def lengths(*values):
    made = Lengths()
    for value in values:
        made.add(value)
    return made


def test_a_summary():
    # 10 values: the 5th of them is p50, the 9th p90, the 10th p95 and p99
    summary = lengths(4, 1, 1, 2, 3, 5, 8, 13, 21, 34).summary()
    assert summary == {"min": 1, "mean": 9.2, "p50": 4, "p90": 21, "p95": 34, "p99": 34, "max": 34}
    assert list(summary) == ["min", "mean", "p50", "p90", "p95", "p99", "max"]
    assert lengths(7).summary() == dict.fromkeys(("min", "p50", "p90", "p95", "p99", "max"), 7) | {"mean": 7.0}


def test_percentiles_are_those_of_a_sorted_list():
    values = [number * number % 1009 for number in range(777)]
    summary = lengths(*values).summary()
    for percent in (50, 90, 95, 99):
        # the least value that at least so many percent of all do not exceed
        expected = min(value for value in values if sum(other <= value for other in values) * 100 >= percent * 777)
        assert summary[f"p{percent}"] == expected


def test_a_total():
    assert lengths(1, 2, 2, 9).total == 14


def test_a_histogram_has_two_bins_for_every_doubling():
    bins = lengths(0, 1, 4, 7, 7, 32).histogram()
    assert bins == [
        *((0, 0, 1), (1, 1, 1), (2, 2, 0), (3, 3, 0), (4, 5, 1), (6, 7, 2)),
        *((8, 11, 0), (12, 15, 0), (16, 23, 0), (24, 31, 0), (32, 47, 1)),
    ]
    assert lengths(48, 63, 64).histogram() == [(48, 63, 2), (64, 95, 1)]
    assert lengths().histogram() == []


def test_the_longest_bar_is_that_of_the_fullest_bin():
    lines = list(histogram_lines([(4, 7, 80), (8, 15, 2), (16, 31, 0), (1024, 2047, 1)]))
    assert [line.count("#") for line in lines] == [40, 1, 0, 1]
    assert [line.rsplit(None, 1)[-1] for line in lines] == ["80", "2", "0", "1"]
    assert lines[0].startswith("    4 -     7  ###")
    assert lines[3].startswith("1,024 - 2,047  #")


@pytest.mark.parametrize("count", [1, 5, 1000])
def test_no_bin_that_is_not_empty_looks_empty(count):
    assert "#" in list(histogram_lines([(1, 1, 1000), (2, 3, count)]))[1]
