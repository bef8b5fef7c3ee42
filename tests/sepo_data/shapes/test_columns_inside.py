"""Columns that hold objects: keys by dotted names, hosted fine-tuning files, objects of lists, hints about scores."""

import json

import pytest

from sepo_data.errors import SepoError
from sepo_data.shapes.columns import ROLES
from sepo_data.shapes.detect import detect_shape
from sepo_data.shapes.registry import registered_shapes
from sepo_data.shapes.skip_reasons import SkipRow
from tests.fixtures.turns import assistant, user

EXAMPLES = {entry.name: entry.example for entry in registered_shapes()}


HOSTED = {
    "input": {"messages": [user("q")], "tools": [{"name": "f"}], "parallel_tool_calls": True},
    "preferred_output": [assistant("yes")],
    "non_preferred_output": [assistant("no")],
}


def shape_of(row, **roles):
    return detect_shape(list(row), [row], roles=roles)


def pairs_of(row, **roles):
    shape = shape_of(row, **roles)
    return shape.name, [
        (pair.prompt, pair.chosen, pair.rejected, pair.tools, pair.ids) for pair in shape.to_pairs(0, row, ())
    ]


def by_key(value):
    """A list of objects as `Sequence({...})` of datasets stores it; any other value as it is."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return {key: [by_key(item.get(key)) for item in value] for key in value[0]}
    return value


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("write", [lambda value: value, json.dumps, repr])
def test_every_shape_is_read_from_the_keys_of_one_column(name, write):
    example = EXAMPLES[name]
    columns = shape_of(example).columns
    roles = {role: f"row.{column}" for role, column in columns.items() if column in example}
    assert pairs_of({"row": write(example), "id": 3}, **roles) == pairs_of(example)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_shape_is_read_from_objects_of_lists(name):
    row = {column: by_key(value) for column, value in EXAMPLES[name].items()}
    assert pairs_of(row) == pairs_of(EXAMPLES[name])


def test_hosted_fine_tuning_files():
    pairs = [([user("q")], [assistant("yes")], [assistant("no")], [{"name": "f"}], None)]
    assert pairs_of(HOSTED) == ("explicit messages", pairs)
    written = {column: json.dumps(value) for column, value in HOSTED.items()}
    assert pairs_of(written) == pairs_of(HOSTED)
    shape = shape_of(HOSTED)
    assert shape.columns["prompt"] == "input.messages"
    assert shape.columns["tools"] == "input.tools"
    renamed = {"input": HOSTED["input"], "good": HOSTED["preferred_output"], "bad": HOSTED["non_preferred_output"]}
    with pytest.raises(SepoError) as caught:
        shape_of(renamed)
    assert "name a key of objects with a dot, like prompt=input.messages" in caught.value.hint
    assert pairs_of(renamed, prompt="input.messages", chosen="good", rejected="bad")[1] == pairs


def test_tools_that_come_later_are_no_surprise():
    first = {**HOSTED, "input": {"messages": [user("q")]}}
    with pytest.raises(SkipRow, match="late_column"):
        shape_of(first).to_pairs(0, HOSTED, ())
    row = {"prompt": "q", "chosen": "yes", "rejected": "no"}
    assert shape_of(row).to_pairs(0, {**row, "chosen": '{"tools": [1]}'}, ()), "an answer with a key of this name"


def test_a_column_with_a_dot_goes_before_a_key():
    row = {"a.b": "dotted", "a": {"b": "inside"}, "chosen": "yes", "rejected": "no"}
    assert pairs_of(row, question="a.b")[1][0][0] == [user("dotted")]
    row = {"a.b": {"c": "deep"}, "chosen": "yes", "rejected": "no"}
    assert pairs_of(row, question="a.b.c")[1][0][0] == [user("deep")]


def test_a_key_that_does_not_exist():
    with pytest.raises(SepoError, match=r"no column input\.mesages") as caught:
        shape_of(HOSTED, prompt="input.mesages")
    assert "did you mean input.messages" in caught.value.hint
    shape = shape_of(HOSTED)
    for inside in (None, {}, "q", {"messages": None}, []):
        with pytest.raises(SkipRow) as skipped:
            shape.to_pairs(0, {**HOSTED, "input": inside}, ())
        assert (skipped.value.reason, skipped.value.detail) == ("null", "input.messages")
    with pytest.raises(SkipRow, match="missing_column"):
        shape.to_pairs(0, {key: value for key, value in HOSTED.items() if key != "input"}, ())


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ({"role": ["user", "assistant"], "content": ["q"]}, "different lengths"),
        ({"role": ["user", "assistant"], "content": "q"}, "of lists and of other values"),
    ],
)
def test_lists_that_do_not_belong_together(value, detail):
    good = {side: by_key([user("q"), assistant(side)]) for side in ("chosen", "rejected")}
    with pytest.raises(SkipRow, match=detail):
        shape_of(good).to_pairs(0, {**good, "chosen": value}, ())


SCORED = {
    "numbers beside texts": (
        {"instruction": "q", "completions": ["a", "b"], "quality": [2.0, 1.5]},
        {"score": "quality"},
    ),
    "a number in each answer": (
        {"instruction": "q", "completions": [{"response": "a", "helpfulness": 2}, {"response": "b", "helpfulness": 1}]},
        {"score": "helpfulness"},
    ),
    "a number in each answer, as text": (
        {"instruction": "q", "completions": "[{'response': 'a', 'good': 2}, {'response': 'b', 'good': 1}]"},
        {"score": "good"},
    ),
    "numbers beside texts, as text": (
        {"instruction": "q", "completions": "['a', 'b']", "quality": "[2.0, 1.5]"},
        {"score": "quality"},
    ),
    "numbers in an object of lists": (
        {"instruction": "q", "completions": {"response": ["a", "b"], "good": [2, 1]}},
        {"score": "good"},
    ),
    "a number for each response": (
        {"prompt": "q", "response_a": "a", "response_b": "b", "grade_1": 2, "grade_2": 1},
        {"score_a": "grade_1", "score_b": "grade_2"},
    ),
    "a verdict in words": (
        {"prompt": "q", "response_a": "a", "response_b": "b", "judgement": "model_a"},
        {"winner": "judgement"},
    ),
    "one number": (
        {"prompt": "q", "response_a": "a", "response_b": "b", "leaning": -1},
        {"preference": "leaning"},
    ),
}


@pytest.mark.parametrize(("row", "way"), SCORED.values(), ids=SCORED)
def test_a_score_under_any_name_is_in_the_hint_and_the_hint_can_be_followed(row, way):
    with pytest.raises(SepoError) as caught:
        shape_of(row)
    assert f"--columns {','.join(f'{role}={column}' for role, column in way.items())}" in caught.value.hint
    assert way.keys() <= ROLES.keys()
    [(_, chosen, rejected, *_)] = pairs_of(row, **way)[1]
    assert (chosen, rejected) == ([assistant("a")], [assistant("b")])


def test_a_key_that_is_not_read_is_left_over_like_a_column():
    assert shape_of(HOSTED).unread == ("input.parallel_tool_calls",)
    context = {**HOSTED, "input": {**HOSTED["input"], "context": "The otter is called Max and lives in a shed."}}
    with pytest.raises(SepoError, match=r"input\.context .* has text that is in no pair") as caught:
        shape_of(context)
    assert "--columns system=input.context" in caught.value.hint
    assert pairs_of(context, system="input.context")[1][0][0][0]["role"] == "system"
    shape = detect_shape(list(context), [context], ignore=["input.context"])
    assert shape.to_pairs(0, context, ())[0].prompt == [user("q")]
