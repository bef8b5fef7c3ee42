"""Pairs within a number of bytes."""

import pytest

from sepo_data.report.pairs.encode import Encoder
from sepo_data.report.pairs.fit import fit_pairs
from sepo_data.report.pairs.json_text import json_text
from sepo_data.report.pairs.sample import find_places


def size(pairs) -> int:
    return len(json_text(pairs).encode())


@pytest.fixture(scope="module")
def encoder(drawn) -> Encoder:
    return Encoder([drawn.source])


def test_all_pairs_are_taken_where_there_is_room(drawn, encoder):
    places = find_places([drawn.source])
    pairs, shown = fit_pairs(encoder, places, most=500, budget=10**6)
    assert shown == len(pairs["ids"]) == 60


def test_no_more_pairs_are_taken_than_asked_for(drawn, encoder):
    _, shown = fit_pairs(encoder, find_places([drawn.source]), most=7, budget=10**6)
    assert shown == 7


@pytest.mark.parametrize("budget", [1500, 2500, 5000])
def test_the_bytes_are_kept_to_and_made_use_of(drawn, encoder, budget):
    places = find_places([drawn.source])
    pairs, shown = fit_pairs(encoder, places, most=60, budget=budget)
    assert 0 < shown < 60
    assert size(pairs) <= budget
    assert size(encoder.encode(places.sampled(min(60, 2 * shown + 2)))) > budget
    assert pairs["ids"] == [f"{row:016x}" for row in places.sampled(shown).rows(0)]


@pytest.mark.parametrize("budget", [10, 0, -1000])
def test_a_pair_that_is_too_long_alone_is_not_shown(drawn, encoder, budget):
    pairs, shown = fit_pairs(encoder, find_places([drawn.source]), most=60, budget=budget)
    assert (shown, pairs["ids"]) == (0, [])
