"""Pairs as the script of the page reads them, decoded again and compared with the directory."""

import base64

import numpy as np
import pytest

from sepo_data.report.pairs.encode import Encoder
from sepo_data.report.pairs.sample import find_places
from sepo_data.report.source import open_sources
from tests.fixtures.commands import OTHER_PAIRS, PAIRS


def numbers(text: str, kind: str) -> list:
    return np.frombuffer(base64.b64decode(text), kind).tolist()


def encoded(*folders) -> dict:
    sources = open_sources(folders)
    return Encoder(sources).encode(find_places(sources))


def test_every_token_has_its_id_and_text(scored):
    pairs = encoded(scored)
    ids, texts = numbers(pairs["tokens"]["ids"], "<i4"), pairs["tokens"]["texts"]
    assert dict(zip(ids, texts, strict=True)) == {10: " go", 11: "od", 12: ".", 13: " day", 14: "<|im_end|>"}
    for number, side in enumerate(("chosen", "rejected")):
        lengths = numbers(pairs["sides"][side]["lengths"], "<i4")
        assert lengths == [len(pair[number]) for pair in PAIRS]
        codes = numbers(pairs["sides"][side]["codes"]["uint16"], "<u2")
        assert [ids[code] for code in codes] == [10 + place for length in lengths for place in range(length)]


def test_rewards_are_those_of_the_directory_and_log_probabilities_near(scored):
    [track] = encoded(scored)["tracks"]
    assert numbers(track["rows"], "<i4") == [0, 1, 2]
    for number, side in enumerate(("chosen", "rejected")):
        rewards = [value for pair in PAIRS for value in pair[number]]
        assert numbers(track[side]["rewards"], "<f4") == rewards
        oracle = np.array(numbers(track[side]["oracle_logps"]["thousandths"], "<u2")) / -1000
        assert oracle == pytest.approx(np.array(rewards) - 9, abs=5e-4)
    assert numbers(track["margin"], "<f4") == [sum(chosen) - sum(rejected) for chosen, rejected in PAIRS]


def test_several_directories_are_tracks_over_the_same_tokens(scored, scored_otherwise):
    pairs = encoded(scored, scored_otherwise)
    assert len(pairs["tracks"]) == 2
    assert numbers(pairs["tracks"][1]["chosen"]["rewards"], "<f4") == [v for pair in OTHER_PAIRS for v in pair[0]]


def test_a_selection_has_its_masks_and_no_log_probabilities(selected):
    [track] = encoded(selected)["tracks"]
    assert set(track["chosen"]) == {"rewards", "mask"}
    bits = np.unpackbits(np.frombuffer(base64.b64decode(track["chosen"]["mask"]), np.uint8), bitorder="little")
    assert bits[:10].tolist() == [0, 0, 1, 0, 0, 1, 1, 0, 0, 0]


def test_no_pair_is_encoded_as_none(scored):
    sources = open_sources([scored])
    pairs = Encoder(sources).encode(find_places(sources).sampled(0))
    assert (pairs["ids"], pairs["prompts"], pairs["tokens"]["texts"]) == ([], [], [])
