"""Two responses and a verdict, in every spelling."""

import json
import re

import pytest

from sepo_data.errors import SepoError
from sepo_data.shapes.detect import detect_shape
from sepo_data.shapes.skip_reasons import SkipRow
from tests.fixtures.turns import assistant, user


def shape_of(row, *others, **roles):
    return detect_shape(list(row), [row, *others], roles=roles)


ASKED, YES, NO = [user("q")], [assistant("yes")], [assistant("no")]
TWO = {"prompt": "q", "response_a": "no", "response_b": "yes"}
ARENA = {
    "question_id": "1",
    "model_a": "m",
    "model_b": "n",
    "winner": "model_b",
    "conversation_a": [*ASKED, *NO],
    "conversation_b": [*ASKED, *YES],
    "turn": 1,
}
LMSYS = {
    "id": 1,
    "prompt": '["q"]',
    "response_a": '["no"]',
    "response_b": '["yes"]',
    "winner_model_a": 0,
    "winner_model_b": 1,
    "winner_tie": 0,
}
WEBGPT = {
    "question": {"dataset": "eli5", "id": "1", "full_text": "q"},
    "quotes_0": {"title": ["t"], "extract": ["e"]},
    "answer_0": "no",
    "score_0": -0.5,
    "answer_1": "yes",
    "score_1": 0.5,
}
TLDR = {
    "info": {"id": "1", "post": "p", "title": "t", "subreddit": "r", "site": None, "article": None},
    "summaries": [{"text": " no", "policy": "x"}, {"text": " yes", "policy": "y"}],
    "choice": 1,
    "worker": "w",
}

VOTES = {
    "chatbot arena": ARENA,
    "mt-bench, from ShareGPT": {
        **ARENA,
        "conversation_a": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "no"}],
    },
    "lmsys": LMSYS,
    "lmsys, as numbers in text": {**LMSYS, "winner_model_a": "0", "winner_model_b": "1"},
    "lmsys with a winner": {**TWO, "winner": "model_b"},
    "the name of a column wins": {**TWO, "winner": "response_b"},
    "webgpt": WEBGPT,
    "pku": {"prompt": "q", "response_0": "no", "response_1": "yes", "better_response_id": 1, "safer_response_id": 0},
    "a label goes before scores": {
        "history": "q", "human_ref_A": "no", "human_ref_B": "yes", "labels": 0, "score_A": 9, "score_B": 1,
    },
}  # fmt: skip


HELPSTEER = {"prompt": "q", "response_1": "no", "response_2": "yes", "preference_strength": 2}
HELPSTEER_3 = {"context": ASKED, "response1": "no", "response2": "yes", "overall_preference": 1}


@pytest.mark.parametrize("row", [HELPSTEER, HELPSTEER_3])
def test_helpsteer(row):
    *_, column = row
    shape = shape_of(row, {**row, column: -1})
    assert shape.name == "votes"
    [pair] = shape.to_pairs(0, row, ())
    assert (pair.prompt, pair.chosen, pair.rejected) == (ASKED, YES, NO)
    with pytest.raises(SkipRow) as caught:
        shape.to_pairs(0, {**row, column: 0}, ())
    assert (caught.value.reason, caught.value.detail) == ("tie", column)


@pytest.mark.parametrize(
    ("column", "codes", "settled_by"),
    [
        ("preference", [1, 2], {"choice": "ab", "preference": "bb"}),
        ("preference", [0, 1], {"choice": "ab", "labels": "ba", "preference": "tb"}),
        ("preference", [1, 5], {"preference": "bb"}),
        ("choice", [1, 2], {"choice": "ab", "preference": "bb"}),
        ("choice", [1, 1], {"labels": "aa", "preference": "bb"}),
        ("choice", [2, 3], {"preference": "bb"}),
        ("labels", [-1, 1], {"preference": "ab"}),
        ("labels", [1, 2], {"choice": "ab", "preference": "bb"}),
        ("labels", [False, True], {}),
        ("choice", [0, 1, 2], {"preference": "tbb"}),
    ],
)
def test_ambiguous_numbers(column, codes, settled_by):
    rows = [{"prompt": "q", "response_a": "a", "response_b": "b", column: code} for code in codes]
    if not settled_by:
        assert [_winner(shape_of(*rows), row) for row in rows] == ["b", "a"]
        return
    with pytest.raises(
        SepoError, match=f"{column} holds .* may mean either: response_a is preferred, or response_b"
    ) as caught:
        shape_of(*rows)
    assert re.findall(r"--columns (\w+)=", caught.value.hint) == list(settled_by)
    for role, winners in settled_by.items():
        shape = shape_of(*rows, **{role: column})
        assert "".join(_winner(shape, row) for row in rows) == winners


def test_a_code_besides_those_that_are_known_can_be_set_aside():
    rows = [{**TWO, "verdict": code} for code in (0, 1, 7)]
    shape = shape_of(*rows, choice="verdict")
    assert _winner(shape, rows[1]) == "yes"
    with pytest.raises(SkipRow, match="unknown_label"):
        shape.to_pairs(0, rows[2], ())


def _winner(shape, row):
    try:
        [pair] = shape.to_pairs(0, row, ())
    except SkipRow as bad:
        return bad.reason[0]
    return pair.chosen[0]["content"]


@pytest.mark.parametrize("name", VOTES)
def test_vote(name):
    row = VOTES[name]
    shape = shape_of(row)
    assert shape.name == ("shp" if "labels" in row else "votes")
    [pair] = shape.to_pairs(0, row, ())
    assert (pair.prompt, pair.chosen, pair.rejected) == (ASKED, YES, NO)


def test_a_list_of_texts_is_a_turn_each():
    row = {**LMSYS, "prompt": '["a", "b"]', "response_a": '["x", "no"]', "response_b": '["x", "yes"]'}
    [pair] = shape_of(LMSYS).to_pairs(0, row, ())
    assert pair.prompt == [user("a"), assistant("x"), user("b")]
    assert (pair.chosen, pair.rejected) == (YES, NO)


def test_texts_that_only_look_like_lists():
    row = {**TWO, "response_a": "[1]", "response_b": "[2]", "winner": "model_a"}
    [pair] = shape_of(row).to_pairs(0, row, ())
    assert pair.chosen == [assistant("[1]")]


def test_summaries():
    shape = shape_of(TLDR)
    assert (shape.name, shape.conversational) == ("summaries", False)
    [pair] = shape.to_pairs(0, TLDR, ())
    assert pair.prompt == "SUBREDDIT: r/r\n\nTITLE: t\n\nPOST: p\n\nTL;DR:"
    assert (pair.chosen, pair.rejected) == (" yes", " no")
    news = {**TLDR, "info": {"article": "a"}, "choice": 0}
    [pair] = shape.to_pairs(0, news, ())
    assert (pair.prompt, pair.chosen) == ("Article: a\n\nTL;DR:", " no")


ONE_OF_TWO = {**TWO, "winner": "model_a"}


@pytest.mark.parametrize(
    ("good", "change", "reason", "detail"),
    [
        (ARENA, {"winner": "tie"}, "tie", "winner"),
        (ARENA, {"winner": "tie (bothbad)"}, "tie", "winner"),
        (ARENA, {"winner": "both_bad"}, "tie", "winner"),
        (ARENA, {"winner": "gpt-4"}, "unknown_label", "winner is 'gpt-4'"),
        (ARENA, {"winner": None}, "null", "winner"),
        (ARENA, {"conversation_a": [*ASKED, *NO, *ASKED, *NO]}, "other_speaker", "rejected holds a user turn"),
        (ONE_OF_TWO, {"response_a": "yes"}, "equal_responses", "chosen is rejected"),
        (LMSYS, {"winner_model_b": 0, "winner_tie": 1}, "tie", "winner_model_a and winner_model_b"),
        (LMSYS, {"winner_model_b": None}, "null", "winner_model_b"),
        (LMSYS, {"response_a": "[null]"}, "null", "response_a[0]"),
        (LMSYS, {"response_a": '["a", "b"]'}, "wrong_type", "prompt and the responses have different numbers of turns"),
        (LMSYS, {"response_a": "so"}, "wrong_type", "response_a is no JSON text"),
        (LMSYS, {"response_a": "{}"}, "wrong_type", "response_a is no JSON list"),
        (WEBGPT, {"score_1": -0.5}, "tie", "score_0 and score_1"),
        (WEBGPT, {"score_1": "high"}, "invalid_score", "score_1 is 'high'"),
        (WEBGPT, {"question": {"id": "1"}}, "null", "question.full_text"),
        (VOTES["pku"], {"better_response_id": 2}, "unknown_label", "better_response_id is 2"),
        (VOTES["pku"], {"better_response_id": [0]}, "unknown_label", "better_response_id is list"),
        (TLDR, {"choice": None}, "unknown_label", "choice is None"),
        (TLDR, {"summaries": [{"text": "a"}]}, "wrong_type", "info is no object, or summaries not two of them"),
        (TLDR, {"summaries": [{"text": "a"}, {}]}, "null", "summaries[1].text"),
        (TLDR, {"info": {"post": "p", "title": "t"}}, "null", "info.subreddit"),
        (TLDR, {"info": {}}, "null", "info.article"),
    ],
)
def test_bad_row(good, change, reason, detail):
    with pytest.raises(SkipRow) as caught:
        shape_of(good).to_pairs(0, {**good, **change}, ())
    assert (caught.value.reason, caught.value.detail) == (reason, detail)


def test_the_description_says_who_wins():
    assert shape_of(WEBGPT).description == (
        "the user says question; answer_0 is chosen where score_0 is higher, answer_1 where score_1 is."
    )
    written = json.dumps(ASKED)
    row = {**ONE_OF_TWO, "prompt": written}
    [pair] = shape_of(row).to_pairs(0, row, ())
    assert pair.prompt == ASKED, "a conversation may be JSON text here as well"
