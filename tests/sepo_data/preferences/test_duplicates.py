"""Duplicates, found in one pass over all pairs."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sepo_data.preferences.duplicates import find_duplicates, scan_pairs
from sepo_data.preferences.holdout import HoldoutSize
from sepo_data.shapes.pairs import Pair, SkippedRow


def pair(row, prompt, chosen="c", rejected="r"):
    return Pair(row, prompt, chosen, rejected)


def test_the_first_of_equal_pairs_stays():
    pairs = [pair(0, "p"), pair(1, "p", "other"), pair(2, "p"), pair(3, "q"), pair(4, "p")]
    duplicates, holdout = scan_pairs(pairs, dedupe=True, holdout=HoldoutSize())
    assert holdout is None
    assert [duplicates.first_row(item) for item in pairs] == [0, 1, 0, 3, 0]
    assert duplicates.count == 2
    assert len(duplicates.ids) == 1, "only pairs that come more than once take memory"


def test_the_sides_of_a_pair_are_not_interchangeable():
    pairs = [pair(0, "p", "a", "b"), pair(1, "p", "b", "a"), pair(2, "pa", "", "b")]
    duplicates, _ = scan_pairs(pairs, dedupe=True, holdout=HoldoutSize())
    assert duplicates.count == 0


def test_the_first_is_the_lowest_row_in_whatever_order_they_are_read():
    pairs = [pair(row * 31 % 50, f"p{row * 31 % 50 % 7}") for row in range(50)]
    duplicates, _ = scan_pairs(pairs, dedupe=True, holdout=HoldoutSize())
    assert {item.source_row: duplicates.first_row(item) for item in pairs} == {row: row % 7 for row in range(50)}
    assert duplicates.count == 43


@given(st.lists(st.integers(0, 6), max_size=40))
def test_duplicates_are_those_a_plain_loop_finds(ids):
    first = {}
    expected = [first.setdefault(number, row) for row, number in enumerate(ids)]
    found, stay = find_duplicates(np.array(ids, np.uint64), np.arange(len(ids)))
    assert sorted(stay.tolist()) == sorted(first.values())
    assert found.count == len(ids) - len(first)
    repeated = dict(zip(found.ids.tolist(), found.first_rows.tolist(), strict=True))
    assert [repeated.get(number, row) for row, number in enumerate(ids)] == expected


def test_no_result_that_was_not_asked_for():
    assert scan_pairs([pair(0, "p")], dedupe=False, holdout=HoldoutSize()) == (None, None)
    duplicates, holdout = scan_pairs([SkippedRow(0, "null", "prompt")], dedupe=True, holdout=HoldoutSize(5))
    assert (duplicates.count, holdout) == (0, None), "reading without pairs is an error of the next stage"
