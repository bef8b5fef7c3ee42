"""Columns beside the text in every form in which they come: system texts, tools, the beginning of both responses."""

import json

import pytest

from sepo_data.shapes.detect import detect_shape
from sepo_data.shapes.skip_reasons import SkipRow

SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = {"role": "user", "content": "q"}
STRINGS = {"prompt": "q", "chosen": "yes", "rejected": "no"}
MESSAGES = {**STRINGS, "prompt": [ASKED]}
DICE = {"type": "function", "function": {"name": "dice", "parameters": {"type": "object"}}}
TOOLS = {
    "a list": [DICE],
    "an object": DICE,
    "a bare description": DICE["function"],
    "JSON texts": [json.dumps(DICE)],
    "the JSON text of a list": json.dumps([DICE]),
    "the JSON text of an object": json.dumps(DICE),
    "the JSON text of JSON texts": json.dumps([json.dumps(DICE)]),
    "an object of lists": {"type": ["function"], "function": [DICE["function"]]},
}
SYSTEMS = {
    "a string": "Be brief.",
    "a turn": SYSTEM,
    "a turn from and value": {"from": "system", "value": "Be brief."},
    "a list of a turn": [SYSTEM],
    "a list of a string": ["Be brief."],
    "the JSON text of a turn": json.dumps(SYSTEM),
    "the JSON text of a list": json.dumps([SYSTEM]),
}


def pair_of(row):
    shape = detect_shape(list(row), [row])
    [pair] = shape.to_pairs(0, row, ())
    assert shape.unread == ()
    return pair


@pytest.mark.parametrize("form", TOOLS)
@pytest.mark.parametrize("row", [STRINGS, MESSAGES], ids=["strings", "messages"])
def test_tools_reach_the_pair(form, row):
    pair = pair_of({**row, "tools": TOOLS[form]})
    assert pair.tools == [DICE["function"] if form == "a bare description" else DICE]
    assert pair.prompt == [ASKED]


@pytest.mark.parametrize("form", SYSTEMS)
@pytest.mark.parametrize("row", [STRINGS, MESSAGES], ids=["strings", "messages"])
def test_a_system_text_is_the_first_turn(form, row):
    assert pair_of({**row, "system": SYSTEMS[form]}).prompt == [SYSTEM, ASKED]


def test_no_system_text():
    for nothing in ([], "", None, " ", {"role": "system", "content": " "}):
        row = {**MESSAGES, "system": "Be brief."}
        [pair] = detect_shape(list(row), [row]).to_pairs(0, {**row, "system": nothing}, ())
        assert pair.prompt == [ASKED]


@pytest.mark.parametrize("value", [[SYSTEM, SYSTEM], ["a", "b"], ASKED, {"text": "Be brief."}, 3])
def test_a_row_with_another_system_value_is_skipped(value):
    row = {**MESSAGES, "system": "Be brief."}
    with pytest.raises(SkipRow, match="system is"):
        detect_shape(list(row), [row]).to_pairs(0, {**row, "system": value}, ())


@pytest.mark.parametrize("row", [STRINGS, MESSAGES], ids=["strings", "messages"])
def test_responses_continue_a_prefill(row):
    shape = detect_shape([*row, "prefill"], [{**row, "prefill": "Step 1:"}])
    [pair] = shape.to_pairs(0, {**row, "prefill": "Step 1:"}, ())
    assert pair.prompt == [ASKED, {"role": "assistant", "content": "Step 1:"}]
    assert shape.description.endswith(", after prefill.")
    [pair] = shape.to_pairs(0, {**row, "prefill": None}, ())
    assert pair.prompt == [ASKED]
