"""Duplicates and held-out prompts, found in one pass over all pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepo_data.errors import SepoError
from sepo_data.preferences.duplicates import find_duplicates
from sepo_data.preferences.survey import survey
from sepo_data.shapes.pairs import Pair, SkippedRow


def pair(row, prompt, chosen="c", rejected="r"):
    return Pair(row, prompt, chosen, rejected)


def test_the_first_of_equal_pairs_stays():
    pairs = [pair(0, "p"), pair(1, "p", "other"), pair(2, "p"), pair(3, "q"), pair(4, "p")]
    duplicates, holdout = survey(pairs, dedupe=True, holdout=0)
    assert holdout is None
    assert [duplicates.first_row(item) for item in pairs] == [0, 1, 0, 3, 0]
    assert duplicates.count == 2
    assert len(duplicates.ids) == 1, "only what comes more than once is remembered"


def test_the_sides_of_a_pair_are_not_interchangeable():
    pairs = [pair(0, "p", "a", "b"), pair(1, "p", "b", "a"), pair(2, "pa", "", "b")]
    duplicates, _ = survey(pairs, dedupe=True, holdout=0)
    assert duplicates.count == 0


def test_the_first_is_the_lowest_row_in_whatever_order_they_are_read():
    pairs = [pair(row * 31 % 50, f"p{row * 31 % 50 % 7}") for row in range(50)]
    duplicates, _ = survey(pairs, dedupe=True, holdout=0)
    assert {item.source_row: duplicates.first_row(item) for item in pairs} == {row: row % 7 for row in range(50)}
    assert duplicates.count == 43


@given(st.lists(st.integers(0, 6), max_size=40))
def test_duplicates_are_those_a_plain_loop_finds(ids):
    first = {}
    expected = [first.setdefault(number, row) for row, number in enumerate(ids)]
    found, stay = find_duplicates(np.array(ids, np.uint64), np.arange(len(ids)))
    assert sorted(stay.tolist()) == sorted(first.values())
    assert found.count == len(ids) - len(first)
    repeated = dict(zip(found.ids.tolist(), found.firsts.tolist(), strict=True))
    assert [repeated.get(number, row) for row, number in enumerate(ids)] == expected


def test_nothing_is_remembered_that_nobody_asked_for():
    assert survey([pair(0, "p")], dedupe=False, holdout=0) == (None, None)
    duplicates, holdout = survey([SkippedRow(0, "null", "prompt")], dedupe=True, holdout=5)
    assert (duplicates.count, holdout) == (0, None), "that no pair is left, others say better"


def sides(pairs, wanted):
    _, holdout = survey(pairs, dedupe=False, holdout=wanted)
    return {item.pair_id: holdout.side(item) for item in pairs}, holdout


def test_whole_prompts_are_held_out():
    pairs = [pair(row, f"p{row % 40}", f"c{row}") for row in range(120)]
    found, holdout = sides(pairs, 10)
    held_out = [item for item in pairs if found[item.pair_id] == "holdout"]
    # 3 pairs of each prompt: the fourth prompt takes it to 12
    assert len(held_out) == 12
    assert len({item.prompt for item in held_out}) == 4
    assert holdout.count == len(held_out)
    assert set(found.values()) == {"train", "holdout"}


def test_the_order_of_rows_does_not_matter_and_more_contains_fewer():
    pairs = [pair(row, f"p{row}") for row in range(60)]
    few, _ = sides(pairs, 7)
    assert list(few.values()).count("holdout") == 7
    assert sides(pairs[::-1], 7)[0] == few
    many, _ = sides(pairs, 20)
    assert all(many[pair_id] == "holdout" for pair_id, side in few.items() if side == "holdout")


def test_pairs_that_are_set_aside_are_not_held_out():
    pairs = [pair(row, f"p{row % 20}") for row in range(60)]
    _, holdout = survey(pairs, dedupe=True, holdout=5)
    assert holdout.count == 5, "three equal pairs count once"


def test_something_has_to_be_left():
    pairs = [pair(row, f"p{row % 4}", f"c{row}") for row in range(12)]
    assert list(sides(pairs, 9)[0].values()).count("holdout") == 9
    with pytest.raises(SepoError, match="leaves nothing to train on of 12 pairs with 4 prompts"):
        sides(pairs, 10)
