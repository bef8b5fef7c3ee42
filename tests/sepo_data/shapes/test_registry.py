"""Properties of every registered shape: its example is read; other rows give pairs that can be stored, or a reason."""

import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepo_data.errors import SepoError
from sepo_data.shapes.columns import ROLES, could_play
from sepo_data.shapes.detect import detect_shape
from sepo_data.shapes.pairs import SkippedRow
from sepo_data.shapes.registry import SHAPES, registered_shapes, shape
from sepo_data.shapes.skip_reasons import READING_REASONS, SkipRow
from sepo_data.shapes.value_types import TYPES, type_of

EXAMPLES = {entry.name: entry.example for entry in registered_shapes()}
BESIDE = {"system": "s", "tools": [{"name": "f"}], "chat_template_kwargs": {"think": True}}

CALL = {"type": "function", "function": {"name": "f", "arguments": '{"a": null}'}}
TEXT = st.text(max_size=5) | st.sampled_from(["", " ", "\ud800", "null", "[1]", '{"a"', "\n\nHuman: a\n\nAssistant:"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
TURNS = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "gpt", "tool", "function_call", "x", None]),
        "from": st.sampled_from(["human", "gpt", "observation", 3]),
        "content": TEXT | st.none() | st.just([{"type": "text", "text": "a"}]),
        "value": TEXT,
        "tool_calls": st.none() | st.just([CALL]) | SCALARS,
        "name": SCALARS,
    },
)
ANSWERS = st.fixed_dictionaries({}, optional={"response": TEXT | st.lists(TURNS, max_size=2), "overall_score": SCALARS})
VALUES = st.recursive(
    SCALARS | TURNS | st.lists(TURNS, max_size=4) | st.lists(ANSWERS, max_size=4) | st.lists(st.integers(), max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def rows(example):
    """The example with some values changed, left out, or swapped with those of other columns."""
    value = VALUES | st.sampled_from(list(example.values()))
    return st.fixed_dictionaries({}, optional={column: value | st.just(here) for column, here in example.items()})


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_is_read(name):
    check_example(name)


def check_example(name):
    """The example of a shape is detected as that shape, also when it is JSON from a file, and gives one good pair."""
    example = json.loads(json.dumps(SHAPES[name].example))
    found = detect_shape(list(example), [example])
    assert found.name == name
    assert found.description.endswith(".")
    assert all(column in json.dumps(example) for column in found.columns.values()), "a column, or a key of answers"
    [pair] = found.to_pairs(7, example, ())
    assert pair.source_row == 7
    assert pair.conversational == found.conversational
    assert pair.chosen != pair.rejected or pair.ids
    written = {column: value if isinstance(value, str) else json.dumps(value) for column, value in example.items()}
    again = detect_shape(list(written), [written])
    assert again.to_pairs(7, written, ()) == [pair], "databases and CSV files hold JSON text"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "choice"), [*((name, "best-worst") for name in EXAMPLES), ("ranked", "all"), ("ranked", "adjacent")]
)
def test_pairs_or_a_reason(name, choice):
    check_any_row(name, choice)


def check_any_row(name, choice="best-worst"):
    """Rows with changed values give pairs that can be stored and hashed, or a reason of the table, and no exception."""
    example = SHAPES[name].example
    example = example | (BESIDE if detect_shape(list(example), [example]).conversational else {})
    found = detect_shape(list(example), [example], pairs=choice)
    shape = pickle.loads(pickle.dumps(found))  # noqa: S301 - as it goes to another process

    @settings(max_examples=30)
    @given(rows(example))
    def read(row):
        try:
            assert detect_shape(list(example), [*[example] * 12, row], pairs=choice).name == name, "most rows decide"
        except SepoError as error:  # a number that no coding of votes has puts all of them in doubt
            assert "--columns" in error.hint  # noqa: PT017 - most rows raise nothing
        reason = detail = None
        pairs = []
        try:
            pairs = shape.to_pairs(0, row, list(example))
        except SkipRow as bad:
            reason, detail = bad.reason, bad.detail.encode()
        assert pairs or (reason in READING_REASONS and detail)
        for pair in pairs:
            assert pair.conversational == shape.conversational
            assert pair.ids is not None or pair.chosen != pair.rejected
            json.dumps([pair.prompt, pair.chosen, pair.rejected, pair.tools, pair.ids], allow_nan=False).encode()
            assert len(pair.pair_id) == 16
            for text in (pair.prompt, pair.chosen, pair.rejected) if pair.conversational else ():
                assert {turn["role"] for turn in text} <= {"system", "user", "assistant", "tool"}

    read()
    assert shape.to_pairs(0, example, ()), "the example itself is good"


@given(st.lists(st.dictionaries(st.sampled_from(["prompt", "chosen", "rejected", "completions", "winner"]), VALUES)))
@settings(max_examples=30)
def test_any_sample_is_a_shape_or_our_error(sample):
    columns = list(dict.fromkeys(column for row in sample for column in row))
    try:
        said = detect_shape(columns, sample).description
    except SepoError as error:
        said = str(error)
    assert "prompt" in said


def test_a_value_nested_deeper_than_python_goes():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for name, example in EXAMPLES.items():
        shape = detect_shape(list(example), [example])
        for column in example:
            with pytest.raises(SkipRow):
                shape.to_pairs(0, {**example, column: deep}, ())
        assert detect_shape([*example, "deep"], [{**example, "deep": deep}]).name == name
    row = {"prompt": "q", "chosen": "yes", "rejected": "no"}
    [pair] = detect_shape(list(row), [row]).to_pairs(0, {**row, "deep": deep}, ["deep"])
    assert pair.extra["deep"] is deep


def test_shapes_come_by_tier_then_by_file_then_by_place():
    order = [(entry.tier, entry.name) for entry in registered_shapes()]
    assert order == sorted(order, key=lambda each: each[0])
    expected = [
        *("explicit strings", "dialogues with prompt"),
        *("explicit messages", "system and prompt", "prompt string and messages", "question", "alpaca", "sharegpt"),
        *("swift", "ranked", "shp", "votes", "summaries"),
        *("implicit messages", "hh transcripts", "implicit strings", "tokenized"),
    ]
    assert [name for _, name in order if name in expected] == expected


def test_a_name_and_a_role_are_registered_once():
    with pytest.raises(ValueError, match=r"votes is registered in sepo_data\.shapes\.votes and in "):
        shape("votes", tier=3, example={})(lambda _: [])
    with pytest.raises(ValueError, match="registers the role 'chosen' with other kinds"):
        shape("new", tier=3, example={}, roles={"chosen": ("number",)})(lambda _: [])
    assert "new" not in SHAPES


@pytest.mark.parametrize("kinds", [("str",), ("string", "text"), ("number", "")])
def test_a_role_takes_known_types(kinds):
    with pytest.raises(ValueError, match=f"the type '{kinds[-1]}'; known: string, number, record, turn, strings"):
        shape("new", tier=3, example={}, roles={"mine": kinds})(lambda _: [])
    assert "mine" not in ROLES
    assert {kind for known in ROLES.values() for kind in known} <= set(TYPES)


def test_every_type_of_a_value_but_other_can_be_a_role_s():
    turn = {"role": "user", "content": "a"}
    values = ["a", 1, {"a": 1}, turn, ["a"], [0.5], [1], [{"a": 1}], [turn], [["a"]]]
    assert [type_of([value]) for value in values] == list(TYPES)


def test_a_row_is_skipped_for_a_known_reason_only():
    """Otherwise `skipped.jsonl` would hold a code that no documentation explains."""
    with pytest.raises(ValueError, match="'to_long' is no reason to skip a row; known: invalid_json"):
        SkipRow("to_long", "")
    with pytest.raises(ValueError, match="'to_long' is no reason to skip a row; known: duplicate"):
        SkippedRow(0, "to_long", "")
    again = pickle.loads(pickle.dumps(SkipRow("null", "chosen")))  # noqa: S301 - as it comes from another process
    assert (again.reason, again.detail) == ("null", "chosen")


def test_shapes_bring_roles_of_their_own():
    assert ROLES["prompt_ids"] == ("ids",)
    assert could_play("summaries", "records")
    assert not could_play("summaries", "string")
