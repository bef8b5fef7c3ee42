"""Tool calls, tools and template arguments: as chat templates take them, and through the files of every stage."""

import json

import numpy as np
import pyarrow as pa
import pytest

from sepo_data.schemas.stages import MESSAGES, TOOL_MESSAGES, Stage
from sepo_data.schemas.validate import differences
from sepo_data.selection.select import select
from sepo_data.shapes.detect import detect_shape
from sepo_data.shapes.skip_reasons import SkipRow
from sepo_data.stages.rewards import rewards_schema, rewards_table
from sepo_data.tokenization.tokenize import TokenizedPair
from tests.fixtures.turns import assistant, user

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def call(arguments):
    return {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": arguments}}


ASKED = [
    user("Rain?"),
    assistant(None, tool_calls=[call({"city": "Rome"})]),
    {"role": "tool", "name": "weather", "tool_call_id": "c1", "content": "dry"},
]
ROW = {
    "prompt": ASKED,
    "chosen": [assistant("No.", reasoning_content="it is dry")],
    "rejected": [assistant("", tool_calls=[call({"city": "Rome"})])],
    "tools": [WEATHER],
    "chat_template_kwargs": {"enable_thinking": False},
}


def shape_of(*rows):
    return detect_shape(list(rows[0]), rows)


def read(row, good=ROW):
    [pair] = shape_of(good).to_pairs(0, row, ())
    return pair


def test_turns_as_chat_templates_take_them():
    pair = read(ROW)
    assert pair.prompt == [ASKED[0], ASKED[1] | {"content": ""}, ASKED[2]], "no template writes a content of null"
    assert pair.chosen == ROW["chosen"]
    assert pair.rejected == ROW["rejected"], "a call is a response, though it has no words"
    assert (pair.tools, pair.template_kwargs) == ([WEATHER], {"enable_thinking": False})
    shape = shape_of(ROW)
    assert (shape.tool_turns, shape.side) == (True, ("tools", "chat_template_kwargs"))
    assert shape.description.endswith("with tools and chat_template_kwargs beside them.")


@pytest.mark.parametrize(
    "calls",
    [
        [call('{"city": "Rome"}')],  # OpenAI's
        json.dumps([call({"city": "Rome"})]),
        [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Rome", "day": None}}}],
    ],
)
def test_spellings_of_a_call(calls):
    assert read({**ROW, "rejected": [assistant("", tool_calls=calls)]}).rejected == ROW["rejected"]


@pytest.mark.parametrize("speaker", ["function_call", "tool_call"])
def test_a_turn_that_is_a_call(speaker):
    """LLaMA-Factory's and ms-swift's."""
    words = '{"name": "weather", "arguments": {"city": "Rome"}}'
    turns = [
        {"from": "human", "value": "Rain?"},
        {"from": speaker, "value": words},
        {"from": "observation", "value": "dry"},
    ]
    row = {"conversations": turns, "chosen": "No.", "rejected": "Yes.", "tools": json.dumps([WEATHER])}
    pair = read(row, row)
    [made] = pair.prompt[1]["tool_calls"]
    assert made == {"type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}
    assert pair.prompt[2] == {"role": "tool", "content": "dry"}
    assert pair.tools == [WEATHER]


def test_arguments_that_are_no_object_stay_what_they_are():
    for words in ('{"city": ', "[1]", "Rome"):
        [made] = read({**ROW, "rejected": [assistant("", tool_calls=[call(words)])]}).rejected[0]["tool_calls"]
        assert made["function"]["arguments"] == words


def deep(levels):
    value = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"tools": "[{"}, "wrong_type", "tools is no JSON text"),
        ({"tools": {"f": "dice"}}, "wrong_type", "tools is dict, not list"),
        ({"tools": ["dice"]}, "wrong_type", "tools[0] is no JSON text"),
        ({"tools": ["3"]}, "wrong_type", "tools is no list of descriptions of tools"),
        ({"tools": [{"f": b"x"}]}, "wrong_type", "tools holds bytes, which JSON cannot hold"),
        ({"tools": [{"f": float("inf")}]}, "wrong_type", "tools holds float, which JSON cannot hold"),
        ({"tools": [deep(60)]}, "wrong_type", "tools is nested more than 50 levels deep"),
        ({"tools": [{"f": "\udc00"}]}, "invalid_unicode", "tools, character 0"),
        ({"tools": [{"f": "x" * 4_000_000}]}, "too_large", "tools has 4,000,010 characters"),
        ({"chat_template_kwargs": [1]}, "wrong_type", "chat_template_kwargs is list, not dict"),
        (
            {"rejected": [assistant("", tool_calls=[3])]},
            "wrong_type",
            "rejected[0].tool_calls is no list of tool calls",
        ),
        ({"rejected": [assistant("", tool_calls="[")]}, "wrong_type", "rejected[0].tool_calls is no JSON text"),
        ({"rejected": [assistant(None)]}, "null", "rejected[0].content"),
        ({"rejected": [assistant("a", name=3)]}, "wrong_type", "rejected[0].name is int, not a string"),
        ({"rejected": [assistant("a"), {"role": "tool", "content": "b"}]}, "ends_in_user_turn", None),
    ],
)
def test_bad_row(change, reason, detail):
    with pytest.raises(SkipRow) as caught:
        read({**ROW, **change})
    assert caught.value.reason == reason
    assert detail in {None, caught.value.detail}


def test_rows_without_tools_among_rows_with_them():
    pair = read({**ROW, "tools": "", "chat_template_kwargs": None})
    assert (pair.tools, pair.template_kwargs) == (None, None)
    empty = {**ROW, "tools": [], "chosen": [assistant("No.", tool_calls=None, name="", tool_call_id=None)]}
    assert read(empty).chosen == [assistant("No.")]


@pytest.mark.parametrize("written", [lambda value: value, json.dumps])
def test_strings_with_tools_are_a_conversation(written):
    told = {"tools": [WEATHER], "chat_template_kwargs": {"enable_thinking": False}}
    for role, value in told.items():
        pair = read(row := {"prompt": "q", "chosen": "yes", "rejected": "no", role: written(value)}, row)
        assert (pair.prompt, pair.tools or pair.template_kwargs) == ([user("q")], value)


def test_a_dataset_has_tool_turns_where_it_could_have_them():
    plain = {"prompt": [user("q")], "chosen": "yes", "rejected": "no"}
    assert not shape_of(plain).tool_turns
    assert shape_of({**plain, "prompt": [user("q") | {"tool_calls": None}]}).tool_turns, "as Arrow has it"
    assert not shape_of({**plain, "prompt": [user("q") | {"name": None}]}).tool_turns
    assert shape_of(plain, {**plain, "prompt": [user("q") | {"name": "Ada"}]}).tool_turns


# On disk.


def tokenized(pair):
    return TokenizedPair(pair, [1, 2], [3, 4, 5], [6])


def table_of(shape, *pairs, keep=()):
    schema = rewards_schema(shape=shape, pairs=pairs, keep=keep)
    logps = {
        model: [[np.arange(3, dtype=np.float32) * value, np.full(1, value, dtype=np.float32)] for _ in pairs]
        for model, value in (("oracle", -1.0), ("ref", -2.0))
    }
    items = [tokenized(pair) for pair in pairs]
    return rewards_table(items, logps, beta=1.0, seen=None, schema=schema)


def test_messages_without_tools_are_stored_as_ever():
    row = {"prompt": [user("q")], "chosen": "yes", "rejected": "no"}
    shape = shape_of(row)
    assert table_of(shape, *shape.to_pairs(0, row, ())).schema.field("chosen").type == MESSAGES


def test_the_rewards():
    shape = shape_of(ROW)
    table = table_of(shape, *shape.to_pairs(0, ROW, ()), *shape.to_pairs(1, {**ROW, "tools": None}, ()))
    assert differences(table, Stage.REWARDS) == []
    assert table.schema.field("prompt").type == TOOL_MESSAGES
    assert table.column_names[-2:] == ["tools", "chat_template_kwargs"]
    first, second = table.to_pylist()
    asked, called, answered = first["prompt"]
    nothing = dict.fromkeys(("tool_calls", "tool_call_id", "name", "reasoning_content", "thinking"))
    assert asked == user("Rain?") | nothing
    assert json.loads(called["tool_calls"]) == [call({"city": "Rome"})]
    assert (answered["name"], answered["tool_call_id"]) == ("weather", "c1")
    assert first["chosen"][0]["reasoning_content"] == "it is dry"
    assert json.loads(first["tools"]) == [WEATHER]
    assert second["tools"] is None


def test_tools_may_also_be_asked_for():
    shape = shape_of(ROW)
    table = table_of(shape, *shape.to_pairs(0, ROW, ("tools",)), keep=("tools",))
    assert table.column_names[-2:] == ["tools", "chat_template_kwargs"]
    strings = {"prompt": "q", "chosen": "yes", "rejected": "no", "tools": "hammer"}
    shape = shape_of(strings)
    assert not shape.conversational
    table = table_of(shape, *shape.to_pairs(0, strings, ("tools",)), keep=("tools",))
    assert table.column("tools").to_pylist() == ["hammer"], "a side column like any other"


def test_through_every_stage_and_back(tmp_path, write_rewards):
    """Written, selected, opened by datasets and by scan, and read as preferences again: the same pair."""
    import datasets

    from sepo_data.stages.scan import scan

    shape = shape_of(ROW)
    [pair] = shape.to_pairs(0, ROW, ())
    write_rewards(tmp_path / "rewards", [table_of(shape, pair)])
    select(tmp_path / "rewards", tmp_path / "selection", chosen="40%", rejected="100%")
    for name in ("rewards", "selection"):
        opened = datasets.load_from_disk(str(tmp_path / name))
        [stored] = opened.to_list()
        again = detect_shape(list(stored), [stored])
        assert (again.name, again.side) == ("explicit messages", ("tools", "chat_template_kwargs"))
        [back] = again.to_pairs(0, stored, ())
        assert back == pair
        assert back.pair_id == stored["pair_id"]
        assert scan(tmp_path / name).select("tools").collect().item() == json.dumps([WEATHER], separators=(",", ":"))


def test_a_table_of_neither_kind_of_messages(rewards_of):
    table = rewards_of([([1.0], [1.0])], messages=True)
    odd = pa.large_list(pa.struct([("role", pa.string())]))
    at = table.schema.get_field_index("prompt")
    table = table.set_column(at, pa.field("prompt", odd), pa.array([[{"role": "user"}]], type=odd))
    assert differences(table, Stage.REWARDS) == [f"column prompt is {odd}, not {MESSAGES}"]


@pytest.mark.parametrize("given", ["it is dry", "", None, {"effort": "low"}])
def test_a_text_under_the_key_reasoning_is_reasoning(given):
    row = {**ROW, "chosen": [assistant("No.", reasoning=given)], "rejected": [assistant("Yes.")]}
    [pair] = shape_of(row).to_pairs(0, row, ())
    expected = {"reasoning_content": given} if given == "it is dry" else {}
    assert pair.chosen == [assistant("No.", **expected)]
