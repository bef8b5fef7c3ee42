"""Labels in the place of responses: refused where other columns have the answers, and responses where none has."""

import re
import shlex

import pytest

from sepo_data.errors import SepoError
from sepo_data.shapes.detect import detect_shape

FLOAT, DIVE = "Otters float on their backs.", "Otters dive to the bottom."
PROMPT, QUESTION = {"prompt": "Where do otters sleep?"}, {"question": "Where do otters sleep?"}


def labels(chosen, rejected):
    return {"chosen": chosen, "rejected": rejected}


def read(row, roles=None, ignore=()):
    [pair] = detect_shape(list(row), [row], roles=roles or {}, ignore=ignore).to_pairs(0, row, ())
    return [side if isinstance(side, str) else side[0]["content"] for side in (pair.chosen, pair.rejected)]


REFERENCES = {
    "letters as columns": (PROMPT | {"A": FLOAT, "B": DIVE} | labels("A", "B"), True),
    "letters of responses": (QUESTION | {"response_a": FLOAT, "response_b": DIVE} | labels("a", "b"), True),
    "names of responses": (
        PROMPT | {"response_1": FLOAT, "response_2": DIVE} | labels("response_1", "response_2"),
        True,
    ),
    "models as columns": (QUESTION | {"gpt-4": FLOAT, "vicuna": DIVE} | labels("gpt-4", "vicuna"), True),
    "last words of columns": (
        QUESTION | {"Text_A": FLOAT, "Score_A": 1, "Model_A": "m", "Text_B": DIVE, "Model_B": "n"} | labels("A", "B"),
        True,
    ),
    "numbers of responses": (PROMPT | {"answer_0": FLOAT, "answer_1": DIVE} | labels("0", "1"), False),
    "models that have answered": (
        PROMPT
        | {"model_a": "gpt-4", "model_b": "vicuna", "response_a": FLOAT, "response_b": DIVE}
        | {"winner": "gpt-4", "loser": "vicuna"},
        False,
    ),
    "letters of options": (QUESTION | {"options": [FLOAT, DIVE]} | labels("A", "B"), False),
    "letters of options in an object": (
        QUESTION | {"choices": {"text": ["in Rome", "at sea"], "label": ["A", "B"]}} | labels("A", "B"),
        False,
    ),
}


@pytest.mark.parametrize("case", REFERENCES)
def test_labels_are_refused_where_other_columns_have_the_answers(case):
    row, readable = REFERENCES[case]
    with pytest.raises(SepoError, match="labels such as") as caught:
        detect_shape(list(row), [row])
    ignored = shlex.split(caught.value.hint.partition("--ignore ")[2])[0].split(",")
    chosen, rejected = [name for name in row if name in {"chosen", "rejected", "winner", "loser"}]
    assert read(row, ignore=ignored) == [row[chosen], row[rejected]]
    found = re.search(r"--columns (\S+?);", caught.value.hint)
    assert caught.value.hint.startswith("read them: ") == readable
    if found and not readable:
        row |= {chosen: found[1].rpartition("=")[2]}  # as the hint has it
    if found:
        roles = dict(entry.split("=") for entry in shlex.split(found[1])[0].split(","))
        assert read(row, roles) == ([FLOAT, DIVE] if readable else [DIVE, FLOAT])


RESPONSES = {
    "one word each": PROMPT | labels("Rome", "Oslo") | {"category": "towns"},
    "options that the prompt has": {"prompt": f"A) {FLOAT} B) {DIVE}", "options": [FLOAT, DIVE]} | labels("A", "B"),
    "a choice among responses": (
        {"prompt": f"Which is better? {FLOAT} Or: {DIVE}", "response_a": FLOAT, "response_b": DIVE} | labels("A", "B")
    ),
    "options themselves": QUESTION | {"options": ["at sea", "in Rome"]} | labels("at sea", "in Rome"),
    "responses by two names": PROMPT | {"response_a": "at sea", "response_b": "in Rome"} | labels("at sea", "in Rome"),
    "texts": QUESTION | {"response_a": "Somewhere else.", "response_b": "At sea."} | labels(FLOAT, DIVE),
    "a number of options": PROMPT | {"option_count": 2, "multiple_choice": "no"} | labels("Red", "Blue"),
}


@pytest.mark.parametrize("case", RESPONSES)
def test_short_responses_are_read(case):
    row = RESPONSES[case]
    assert read(row) == [row["chosen"], row["rejected"]]


def test_labels_in_objects_are_refused():
    row = QUESTION | {"vote": labels("A", "B"), "A": FLOAT, "B": DIVE}
    with pytest.raises(SepoError, match="labels such as 'A'"):
        read(row, {"chosen": "vote.chosen", "rejected": "vote.rejected"})
