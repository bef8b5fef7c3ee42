"""Columns that fit no shape: the reason, and a hint that reads them or says what is missing."""

import re
import shlex

import pytest

from sepo_data.errors import SepoError
from sepo_data.shapes.detect import detect_shape

TWO = {"response_a": "On their backs.", "response_b": "On the ground."}
ASKED = {"prompt": "Where do otters sleep?"}


def refused(rows, roles=None):
    with pytest.raises(SepoError) as caught:
        detect_shape(list(rows[0]), rows, roles=roles or {})
    return caught.value


def votes(*verdicts, name="verdict"):
    return [ASKED | TWO | {name: verdict} for verdict in verdicts]


def ways(error):
    """The roles of every --columns in a hint."""
    options = re.findall(r"--columns ('[^']*'|\S+)", error.hint)
    return [dict(entry.split("=") for entry in shlex.split(option)[0].split(",")) for option in options]


@pytest.mark.parametrize(
    ("verdicts", "roles"),
    [
        ((-2, 0, 1), ["preference"]),
        ((0, 1, 1), ["labels", "choice"]),
        ((1, 2, 2), ["choice"]),
        ((True, False), ["labels", "choice"]),
        (("A", "B", "tie"), ["winner"]),
        (("1", "2", "1"), ["choice"]),
    ],
)
def test_a_verdict_is_offered_only_in_a_coding_that_its_values_have(verdicts, roles):
    rows = votes(*verdicts)
    error = refused(rows)
    assert "Nothing prefers one of the answers" in str(error)
    assert [list(way) for way in ways(error)] == [[role] for role in roles]
    for way in ways(error):
        assert detect_shape(list(rows[0]), rows, roles=way).name in {"votes", "shp"}


@pytest.mark.parametrize("values", [(0, 1, 2, 3), (5, 1, 3), ("1001", "1002"), (2023, 2024), (1, 1)])
@pytest.mark.parametrize("name", ["id", "rating", "_server_id"])
def test_ids_and_grades_are_offered_as_no_verdict(values, name):
    error = refused(votes(*values, name=name))
    assert error.hint == "add a column winner that holds response_a, response_b or tie"


@pytest.mark.parametrize(
    "names",
    [
        ("Prompt", "Chosen", "Rejected"),
        ("QUESTION", "CHOSEN", "REJECTED"),
        ("User Prompt", "Chosen Response", "Rejected Response"),
        ("prompt", "Response J", "Response K"),
    ],
)
def test_headings_in_capitals_are_named_in_the_hint(names):
    row = dict(zip(names, ["Where do otters sleep?", "On their backs.", "On the ground."], strict=True))
    error = refused([row])
    assert "Capitals and blanks in the names of columns count" in str(error)
    [way] = ways(error)
    [pair] = detect_shape(list(row), [row], roles=way).to_pairs(0, row, ())
    assert "On their backs." in str(pair.chosen)


@pytest.mark.parametrize("answer", ["completion", "response", "output"])
@pytest.mark.parametrize("more", [{"label": True}, {"helpfulness": 3, "verbosity": 1}, {}])
def test_one_response_a_row_is_no_pair(answer, more):
    error = refused([ASKED | {answer: "On their backs."} | more])
    assert f"A pair takes two responses to a prompt, and a row has one, {answer}" in str(error)


@pytest.mark.parametrize(
    "row",
    [
        ASKED | {"response": "On their backs.", "rejected": "On the ground."},
        ASKED | {"chosen": "On their backs.", "other_answer": "On the ground.", "id": "a b c"},
        ASKED | {"replies": [{"text": "On their backs.", "rank": 0}, {"text": "On the ground.", "rank": 1}]},
        ASKED | {"samples": [{"output": "On the ground.", "reward": -1}, {"output": "On their backs.", "reward": 0.5}]},
    ],
)
def test_a_column_of_another_name_is_offered(row):
    [way] = ways(refused([row]))
    [pair] = detect_shape(list(row), [row], roles=way).to_pairs(0, row, ())
    assert "On their backs." in str(pair.chosen)
    assert "On the ground." in str(pair.rejected)


def test_a_list_of_answers_needs_a_ranking():
    row = {"instruction": "Where do otters sleep?", "input": "", "output": ["On their backs.", "On the ground."]}
    error = refused([row])
    assert "nothing ranks them" in str(error)
    [way] = ways(error)
    shape = detect_shape([*row, "SCORES"], [row | {"SCORES": [2, 1]}], roles=way)
    [pair] = shape.to_pairs(0, row | {"SCORES": [2, 1]}, ())
    assert pair.chosen[0]["content"] == "On their backs."


def test_a_key_of_the_responses_is_named():
    row = ASKED | {
        "chosen": {"text": "On their backs.", "score": 5},
        "rejected": {"text": "On the ground.", "score": 1},
    }
    assert refused([row]).hint.endswith("name a key of objects with a dot, like chosen=chosen.text")
    shape = detect_shape(list(row), [row], roles={"chosen": "chosen.text", "rejected": "rejected.text"})
    assert shape.to_pairs(0, row, ())[0].chosen == "On their backs."
