"""A pair's identity."""

import dataclasses
import hashlib
import json

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


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"a": 1, "b": {"c": 2, "d": [3]}}}}


def calls(*called):
    return [{"role": "assistant", "content": "", "tool_calls": list(called)}]


def test_what_decides_the_tokens_decides_the_id():
    """Everything that reaches a chat template, in the order in which a template would write it."""
    arguments = CALL["function"]["arguments"]
    function = {"name": "f", "arguments": arguments}
    pairs = [
        {},
        {"tools": []},
        {"tools": [{"name": "f", "description": "g"}]},
        {"tools": [{"description": "g", "name": "f"}]},
        {"tools": [{"name": "f"}, {"name": "g"}]},
        {"tools": [{"name": "g"}, {"name": "f"}]},
        {"template_kwargs": {"think": True}},
        {"template_kwargs": {"think": 1}},
        {"template_kwargs": {"think": "true"}},
        {"template_kwargs": {"think": {"a": 1, "b": 2}}},
        {"template_kwargs": {"think": {"b": 2, "a": 1}}},
        {"tools": [{"think": True}]},
        {"tools": [{"name": "f"}], "template_kwargs": {"think": True}},
        {"prompt": user("other")},
        {"prompt": [{"role": "system", "content": "s"}, *user("q")]},
        {"chosen": [{"role": "assistant", "content": "a", "reasoning_content": "r"}]},
        {"chosen": [{"role": "assistant", "content": "a", "thinking": "r"}]},
        {"chosen": [{"role": "assistant", "content": "a", "name": "r"}]},
        {"chosen": calls(CALL)},
        {"chosen": calls(CALL, CALL)},
        {"rejected": calls(CALL)},
        {"chosen": calls(CALL | {"function": function | {"arguments": {"b": arguments["b"], "a": 1}}})},
        {"chosen": calls(CALL | {"function": function | {"arguments": {"a": 1, "b": {"d": [3], "c": 2}}}})},
        {"chosen": calls(CALL | {"function": {"arguments": arguments, "name": "f"}})},
        {"chosen": calls({"type": "function", "id": "c1", "function": function})},
    ]
    plain = {"prompt": user("q"), "chosen": user("a"), "rejected": user("b")}
    ids = [Pair(0, **plain | changed).pair_id for changed in pairs]
    assert len(set(ids)) == len(pairs)


def test_what_does_not_decide_the_tokens_leaves_the_id_as_it_is():
    parts = user("q"), user("a"), user("b")
    assert Pair(0, *parts, template_kwargs={}).pair_id == Pair(0, *parts).pair_id, "it gives the template nothing"
    both = [Pair(0, *parts, template_kwargs=dict(order)).pair_id for order in [("ab", "cd"), ("cd", "ab")]]
    assert both[0] == both[1], "variables have no order"


def test_a_tool_call_in_the_usual_order_is_part_of_the_messages():
    parts = user("q"), calls(CALL), user("b")
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    assert Pair(0, *parts).pair_id == hashlib.sha256(canonical.encode()).hexdigest()[:16]


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
