"""Columns that are not read: listed alike by every reader of preferences, and ignored where the user says so."""

import json

import pytest

from sepo_data.errors import SepoError
from sepo_data.preferences.preferences import read_preferences
from sepo_data.preferences.reading import Reading
from sepo_data.shapes.pairs import Pair

ROW = {"id": 1, "question": "Where does Max live?", "chosen": "In a shed.", "rejected": "In Rome.", "source": "here"}
CONTEXT = {**ROW, "context": "The otter is called Max and lives in a shed."}


@pytest.fixture
def write(tmp_path):
    def lines(name, *rows):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(tmp_path / name)

    return lines


def test_columns_that_are_neither_read_nor_kept(write):
    name = write("a.jsonl", ROW)
    assert read_preferences(name).unread == ["id", "source"]
    assert read_preferences(Reading(name, keep_columns=("source",))).unread == ["id"]
    assert read_preferences(Reading(name, columns={"system": "source"})).unread == ["id"]


def test_those_of_a_mixture_have_the_name_of_their_part(write):
    a = write("a.jsonl", ROW)
    b = write("b.jsonl", {**CONTEXT, "question": "Who is Max?"})
    with pytest.raises(SepoError, match=r"b\.jsonl: context may be left out"):
        read_preferences(Reading(mix=((a, 1.0), (b, 1.0))))
    mixed = read_preferences(Reading(mix=((a, 1.0), (b, 1.0)), ignore=("context",)))
    assert mixed.unread == [f"{a}: id", f"{a}: source", f"{b}: id", f"{b}: source", f"{b}: context"]
    assert len(list(mixed)) == 2


def test_an_ignored_column_is_not_read(write):
    name = write("a.jsonl", {**CONTEXT, "system": "Be brief."})
    with pytest.raises(SepoError) as caught:
        read_preferences(name)
    assert caught.value.hint.endswith("--ignore context")
    preferences = read_preferences(Reading(name, ignore=("context",)))
    assert [turn["role"] for turn in next(iter(preferences)).prompt] == ["system", "user"]
    preferences = read_preferences(Reading(name, ignore=("context", "system")))
    assert [turn["role"] for turn in next(iter(preferences)).prompt] == ["user"]
    assert preferences.unread == ["id", "source", "context", "system"]
    kept = read_preferences(Reading(name, ignore=("context",), keep_columns=("context",)))
    assert next(iter(kept)).extra == {"context": CONTEXT["context"]}


def test_ignored_columns_are_part_of_the_plan():
    assert "ignore" not in Reading("a").plan()
    assert Reading("a", ignore=("b", "a")).plan()["ignore"] == ["a", "b"]


def test_columns_that_cannot_be_ignored(write):
    name = write("a.jsonl", ROW)
    with pytest.raises(SepoError, match="--ignore: there is no column sorce") as caught:
        read_preferences(Reading(name, ignore=("sorce",)))
    assert caught.value.hint == "for sorce, did you mean source?"
    with pytest.raises(SepoError, match="--columns reads source, which --ignore leaves out"):
        read_preferences(Reading(name, ignore=("source",), columns={"system": "source"}))


def test_marks_of_pictures_are_ignored_without_a_column(write):
    name = write("a.jsonl", {**ROW, "question": "<image> What is it?"})
    with pytest.raises(SepoError) as caught:
        read_preferences(name)
    assert caught.value.hint.endswith("--ignore '<image>'")
    [pair] = read_preferences(Reading(name, ignore=("<image>",)))
    assert pair.prompt[0]["content"] == "<image> What is it?"


@pytest.mark.parametrize("late", [{"images": ["a.png"]}, {"context": "Max lives in a shed."}])
def test_context_that_comes_after_the_first_rows(write, late):
    rows = [{**ROW, **dict.fromkeys(late), "id": number} for number in range(120)]
    name = write("a.jsonl", *rows, {**ROW, **late})
    *pairs, last = read_preferences(name)
    assert all(isinstance(pair, Pair) for pair in pairs)
    assert (last.row, last.reason) == (120, "late_column")
    assert isinstance([*read_preferences(Reading(name, ignore=tuple(late)))][-1], Pair)
