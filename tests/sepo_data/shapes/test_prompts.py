"""Histories of every form before prompts of every kind."""

import json

import pytest

from sepo_data.errors import SepoError
from sepo_data.shapes.detect import detect_shape
from sepo_data.shapes.skip_reasons import SkipRow
from tests.fixtures.turns import assistant, user

BEFORE = [user("hi"), assistant("a"), user("go on"), assistant("b")]
COUPLES = [["hi", "a"], ["go on", "b"]]
HISTORIES = {
    "couples": COUPLES,
    "turns": BEFORE,
    "turns from and value": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "a"}, *BEFORE[2:]],
    "objects": [{"user": asked, "assistant": said} for asked, said in COUPLES],
    "objects with nulls": [{"Human": asked, "Assistant": said, "time": None} for asked, said in COUPLES],
    "questions and answers": [{"question": asked, "answer": said} for asked, said in COUPLES],
    "an object of lists": {"input": ["hi", "go on"], "output": ["a", "b"]},
    "the prompt as its last turn": [*BEFORE, user("q")],
}
PROMPTS = {
    "prompt": {"prompt": "q"},
    "question": {"question": "q"},
    "an alias": {"query": "q"},
    "instruction": {"instruction": "q", "input": ""},
    "WebGPT's question": {"question": {"full_text": "q"}},
}
YES_NO = {"chosen": "yes", "rejected": "no"}


def prompt_of(row, **roles):
    [pair] = detect_shape(list(row), [row], roles=roles).to_pairs(0, row, ())
    assert (pair.chosen, pair.rejected) == ([assistant("yes")], [assistant("no")])
    return pair.prompt


@pytest.mark.parametrize("asked", PROMPTS)
@pytest.mark.parametrize("form", HISTORIES)
def test_a_history_comes_before_the_prompt(form, asked):
    for history in (HISTORIES[form], json.dumps(HISTORIES[form])):
        row = {**PROMPTS[asked], "history": history, **YES_NO}
        assert prompt_of(row) == [*BEFORE, user("q")]
        assert "after the turns of history" in detect_shape(list(row), [row]).description


@pytest.mark.parametrize("asked", PROMPTS)
def test_texts_in_turn_are_a_history_where_the_user_says_so(asked):
    row = {**PROMPTS[asked], "history": ["hi", "a", "go on", "b"], **YES_NO}
    with pytest.raises(SepoError, match=r"history \(strings\) has text that is in no pair: 'hi'") as caught:
        prompt_of(row)
    assert "--columns history=history;" in caught.value.hint
    assert prompt_of(row, history="history") == [*BEFORE, user("q")]


def test_rows_whose_history_is_another():
    row = {"question": "q", "history": COUPLES, **YES_NO}
    shape = detect_shape(list(row), [row])
    [pair] = shape.to_pairs(0, {**row, "history": []}, ())
    assert pair.prompt == [user("q")]
    for history in ([["hi"]], [["hi", "a", "go on"]], ["hi", "a"], "hi", [{"user": "hi"}], [{"a": "hi", "b": "a"}]):
        with pytest.raises(SkipRow, match="history"):
            shape.to_pairs(0, {**row, "history": history}, ())


def test_a_history_that_begins_after_the_first_rows():
    row = {"question": "q", "history": None, **YES_NO}
    shape = detect_shape(list(row), [row])
    [pair] = shape.to_pairs(0, {**row, "history": COUPLES}, ())
    assert pair.prompt == [*BEFORE, user("q")]
    with pytest.raises(SkipRow, match="history"):
        shape.to_pairs(0, {**row, "history": ["hi", "a"]}, ())
