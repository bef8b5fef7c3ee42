"""Several datasets as one: how many rows of each, and in which order."""

from fractions import Fraction
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepo_data.preferences.mixture import interleaved, parse_part, part_rows


@pytest.mark.parametrize(
    ("sizes", "weights", "rows"),
    [
        # 100 / 0.7 = 142.86 and 30 / 0.3 = 100: the second is used up
        ([100, 30], [0.7, 0.3], [70, 30]),
        # 7 / 0.7 = 10 and 9 / 0.3 = 30: the first is
        ([7, 9], [0.7, 0.3], [7, 3]),
        # weights need not add up to one
        ([100, 30], [7, 3], [70, 30]),
        ([5], [2], [5]),
        # three parts; 10 / 1 is the smallest
        ([10, 50, 90], [1, 2, 3.5], [10, 20, 35]),
        # a third of ten is three, never four
        ([10, 10], [3, 1], [10, 3]),
    ],
)
def test_as_many_rows_as_the_proportions_allow(sizes, weights, rows):
    assert part_rows(sizes, weights) == rows


@given(
    st.lists(st.tuples(st.integers(1, 500), st.decimals("0.01", 9, places=2).map(float)), min_size=1, max_size=4),
)
def test_no_row_twice_and_none_left_that_the_proportions_allow(parts):
    sizes, weights = zip(*parts, strict=True)
    rows = part_rows(sizes, weights)
    exact = [Fraction(str(weight)) for weight in weights]
    assert all(count <= size for count, size in zip(rows, sizes, strict=True))
    used_up = [index for index, size in enumerate(sizes) if rows[index] == size]
    # Next to a part that is used up, each other has its proportion, but for less than a row.
    assert any(
        all(0 <= rows[index] * weight / exact[index] - count < 1 for count, weight in zip(rows, exact, strict=True))
        for index in used_up
    )


def test_turns_are_taken_in_proportion():
    # places (k + 0.5) / count: a at 1/4, 3/4; b at 1/2
    assert interleaved([2, 1]).tolist() == [0, 1, 0]
    # a at 1/8, 3/8, 5/8, 7/8; b at 1/4, 3/4: of equals, the first part comes first
    assert interleaved([4, 2]).tolist() == [0, 1, 0, 0, 1, 0]
    assert interleaved([1, 1, 1]).tolist() == [0, 1, 2]


def test_every_beginning_has_the_proportions():
    order = interleaved([700, 300])
    assert np.bincount(order).tolist() == [700, 300]
    for length, ones in enumerate(accumulate(order.tolist()), 1):
        assert abs(ones - 0.3 * length) <= 1


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a.jsonl=0.7", ("a.jsonl", 0.7)),
        ("hub/id=3", ("hub/id", 3.0)),
        ("https://host/a?x=1=0.5", ("https://host/a?x=1", 0.5)),
    ],
)
def test_a_part_is_written_with_its_weight(text, part):
    assert parse_part(text) == part


@pytest.mark.parametrize("text", ["a.jsonl", "=0.7", "a=", "a=0", "a=-1", "a=nan", "a=inf", "a=much", ""])
def test_what_is_no_part(text):
    with pytest.raises(ValueError, match="NAME=WEIGHT"):
        parse_part(text)
