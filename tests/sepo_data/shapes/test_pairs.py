"""A pair's identity."""

import dataclasses
import hashlib

import pytest

from sepo_data.shapes.pairs import Pair


def user(text):
    return [{"role": "user", "content": text}]


def test_id_is_the_hash_of_canonical_json():
    assert Pair(0, "q", "ä", "no").pair_id == hashlib.sha256('["q","ä","no"]'.encode()).hexdigest()[:16]
    canonical = '[[{"content":"q","role":"user"}],[{"content":"a","role":"user"}],[{"content":"b","role":"user"}]]'
    expected = hashlib.sha256(canonical.encode()).hexdigest()[:16]
    assert Pair(0, user("q"), user("a"), user("b")).pair_id == expected
    assert Pair(0, [{"content": "q", "role": "user"}], user("a"), user("b")).pair_id == expected, "in any key order"


def test_id_is_the_content_alone():
    assert Pair(0, "q", "a", "b").pair_id == Pair(7, "q", "a", "b", {"score": 1}).pair_id
    others = [("q", "b", "a"), ("qa", "", "b"), ("q ", "a", "b"), ('q","a', "", "b"), (user("q"), user("a"), user("b"))]
    assert len({Pair(0, *parts).pair_id for parts in [("q", "a", "b"), *others]}) == 6


def test_the_prompt_has_an_identity_of_its_own():
    assert (
        Pair(0, "q", "a", "b").prompt_id == Pair(1, "q", "c", "d").prompt_id == hashlib.sha256(b'"q"').hexdigest()[:16]
    )
    assert Pair(0, "q", "a", "b").prompt_id != Pair(0, user("q"), user("a"), user("b")).prompt_id


def test_ids_are_the_content_until_they_are_decoded():
    ids = ([1], [2], [3])
    assert Pair(0, "", "", "", ids=ids).pair_id != Pair(0, "", "", "", ids=([1], [2], [4])).pair_id
    assert Pair(0, "q", "a", "b", ids=ids).pair_id == Pair(0, "q", "a", "b").pair_id


def test_conversational():
    assert not Pair(0, "q", "a", "b").conversational
    assert Pair(0, user("q"), user("a"), user("b")).conversational


def test_pairs_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Pair(0, "q", "a", "b").prompt = "x"
