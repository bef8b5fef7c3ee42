"""Means and standard errors, worked out by hand."""

import pytest

from sepo_train.metrics import mean_with_error, ratio_with_error


def test_a_mean_and_its_standard_error():
    # deviations -1 0 1: s = 1, and 1 / sqrt(3)
    assert mean_with_error([1.0, 2.0, 3.0]) == {"mean": 2.0, "se": 0.57735}


def test_one_value_has_no_standard_error():
    assert mean_with_error([0.5]) == {"mean": 0.5, "se": None}


def test_a_ratio_takes_the_parts_of_an_item_together():
    # 6 over 4 parts; residuals 2 - 1.5 and 4 - 4.5; sqrt((0.25 + 0.25) * 2 / 1) / 4
    assert ratio_with_error([2.0, 4.0], [1, 3]) == {"mean": 1.5, "se": 0.25}


def test_a_ratio_of_items_of_one_part_is_a_mean():
    values = [0.3, -1.0, 2.5, 0.0]
    assert ratio_with_error(values, [1] * 4) == mean_with_error(values)
    doubled = ratio_with_error([2 * value for value in values], [2] * 4)
    assert doubled["mean"] == mean_with_error(values)["mean"]
    assert doubled["se"] == pytest.approx(mean_with_error(values)["se"])
