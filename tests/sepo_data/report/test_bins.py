"""Bins of lengths and positions."""

import numpy as np

from sepo_data.report.bins import bin_bounds, bin_of, bin_text


def test_every_number_is_within_its_bin():
    numbers = [*range(70), *(2**power + more for power in range(7, 40) for more in (-1, 0, 1))]
    for number, place in zip(numbers, bin_of(np.array(numbers)).tolist(), strict=True):
        low, high = bin_bounds(place)
        assert low <= number <= high


def test_bounds_and_labels():
    assert [bin_bounds(place) for place in range(5)] == [(0, 0), (1, 1), (2, 3), (4, 7), (8, 15)]
    assert [bin_text(*bin_bounds(place)) for place in (0, 1, 2, 11)] == ["0", "1", "2\u20133", "1,024\u20132,047"]
