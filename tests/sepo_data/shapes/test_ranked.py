"""Ranked and scored answers: which pairs a row gives, by hand."""

import pytest

from sepo_data.errors import SepoError
from sepo_data.shapes.detect import detect_shape
from sepo_data.shapes.ranked import choose_pairs
from sepo_data.shapes.skip_reasons import SkipRow
from tests.fixtures.turns import assistant, user


def shape_of(row, **options):
    return detect_shape(list(row), [row], **options)


def pairs_of(row, pairs="best-worst", **said):
    """The prompt, and (chosen, rejected) texts of every pair."""
    found = shape_of(row, pairs=pairs, roles=said).to_pairs(4, row, ())
    assert {pair.source_row for pair in found} == {4}
    prompts = [pair.prompt for pair in found]
    assert all(prompt == prompts[0] for prompt in prompts)
    return prompts[0], [(pair.chosen[0]["content"], pair.rejected[0]["content"]) for pair in found]


ULTRA = {
    "source": "evol",
    "instruction": "q",
    "models": ["m", "n", "o"],
    "completions": [
        {"model": "m", "response": "good", "overall_score": 7.5, "fine-grained_score": 2.0, "critique": "x"},
        {"model": "n", "response": "bad", "overall_score": 2.0, "fine-grained_score": 4.5, "critique": "y"},
        {"model": "o", "response": "best", "overall_score": 9.0, "fine-grained_score": 3.0, "critique": "z"},
    ],
}
NECTAR = {
    "prompt": "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: q\n\nAssistant: ",
    "answers": [
        {"answer": "third", "model": "m", "rank": 3.0},
        {"answer": "first", "model": "n", "rank": 1.0},
        {"answer": "second", "model": "o", "rank": 2.0},
    ],
    "turns": 2,
    "num_responses": 3,
}
NEMO = {
    "context": [user("q")],
    "completions": [{"rank": 0, "completion": [assistant("yes")]}, {"rank": 1, "completion": [assistant("no")]}],
}
LISTS = {"instruction": "q", "generations": ["no", "yes", "so"], "ratings": [1, 5, 3]}


def test_ultrafeedback():
    assert pairs_of(ULTRA) == ([user("q")], [("best", "bad")])
    assert pairs_of(ULTRA, "adjacent")[1] == [("best", "good"), ("good", "bad")]
    assert pairs_of(ULTRA, "all")[1] == [("best", "good"), ("best", "bad"), ("good", "bad")]
    assert pairs_of(ULTRA, score="fine-grained_score")[1] == [("bad", "good")]
    assert shape_of(ULTRA).description == (
        "the user says instruction; completions are answers, the best has the highest overall_score;"
        " pairs are the best and the worst one."
    )


def test_a_key_that_no_answer_has():
    with pytest.raises(SepoError, match="has no column fine_score"):
        shape_of(ULTRA, roles={"score": "fine_score"})


def test_nectar():
    prompt = [user("hi"), assistant("hello"), user("q")]
    assert pairs_of(NECTAR, "adjacent") == (prompt, [("first", "second"), ("second", "third")])


def test_nemo_rl():
    assert pairs_of(NEMO) == ([user("q")], [("yes", "no")])


def test_lists_side_by_side():
    assert pairs_of(LISTS, "adjacent") == ([user("q")], [("yes", "so"), ("so", "no")])
    ranks = {"prompt": "q", "responses": ["no", "yes"], "rank": [2, 1]}
    assert pairs_of(ranks) == ([user("q")], [("yes", "no")])


@pytest.mark.parametrize(
    ("merits", "best_worst", "adjacent", "every"),
    [
        ([9, 7, 7, 3], [(0, 3)], [(0, 1), (2, 3)], [(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)]),
        ([3, 9, 9, 3], [(1, 0)], [(2, 0)], [(1, 0), (1, 3), (2, 0), (2, 3)]),
        ([1, 2], [(1, 0)], [(1, 0)], [(1, 0)]),
        ([5, 5, 5], [], [], []),
        ([5], [], [], []),
    ],
)
def test_ties_give_no_pair(merits, best_worst, adjacent, every):
    assert choose_pairs(merits, "best-worst") == best_worst
    assert choose_pairs(merits, "adjacent") == adjacent
    assert choose_pairs(merits, "all") == every


def with_answers(*answers):
    return {**ULTRA, "completions": [{"response": text, "overall_score": score} for text, score in answers]}


def test_equal_texts_give_no_pair_either():
    assert pairs_of(with_answers(("a", 3), ("a", 2), ("b", 1)), "all")[1] == [("a", "b"), ("a", "b")]


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        (with_answers(("a", 1), ("b", 1)), "tie", "all 2 answers are ranked alike"),
        (with_answers(("a", 1)), "too_few_answers", "completions has 1"),
        ({**ULTRA, "completions": []}, "too_few_answers", "completions has 0"),
        (with_answers(("a", 2), ("a", 1)), "equal_responses", "chosen is rejected"),
        (with_answers(("a", 2), (" ", 1)), "empty_response", "rejected"),
        (with_answers(("a", None), ("b", 1)), "invalid_score", "completions[0].overall_score is None"),
        (with_answers(("a", float("nan")), ("b", 1)), "invalid_score", "completions[0].overall_score is nan"),
        (with_answers(("a", 2), ("b", "good")), "invalid_score", "completions[1].overall_score is 'good'"),
        (with_answers(("a", 2), ("b", [])), "invalid_score", "completions[1].overall_score is list"),
        (with_answers(("a", 2), (None, 1)), "null", "completions[1].response"),
        (with_answers(("a", 2), (7, 1)), "wrong_type", "completions[1].response is int, not a list of turns"),
        ({**ULTRA, "completions": ["a", "b"]}, "wrong_type", "completions[0] is str, not an answer with response"),
        ({**ULTRA, "completions": "a"}, "wrong_type", "completions is str, not a list"),
        ({**ULTRA, "instruction": None}, "null", "instruction"),
    ],
)
def test_bad_row(row, reason, detail):
    with pytest.raises(SkipRow) as caught:
        shape_of(ULTRA).to_pairs(0, row, ())
    assert (caught.value.reason, caught.value.detail) == (reason, detail)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ratings": [1, 2]}, "wrong_type"),
        ({"ratings": [1, None, 2]}, "invalid_score"),
        ({"generations": None}, "null"),
    ],
)
def test_bad_lists(change, reason):
    with pytest.raises(SkipRow) as caught:
        shape_of(LISTS).to_pairs(0, {**LISTS, **change}, ())
    assert caught.value.reason == reason


def test_a_transcript_that_does_not_wait_for_an_answer():
    with pytest.raises(SkipRow) as caught:
        shape_of(NECTAR).to_pairs(0, {**NECTAR, "prompt": "\n\nHuman: hi\n\nAssistant: hello"}, ())
    assert caught.value.reason == "no_shared_turn"
