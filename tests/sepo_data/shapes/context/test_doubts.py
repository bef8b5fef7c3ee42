"""Columns that no shape reads: context among them is refused with a way out; all other ones are only listed."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepo_data.errors import SepoError
from sepo_data.shapes.context.doubts import PICTURE_MARK
from sepo_data.shapes.context.names import ROLE_OF_NAME
from sepo_data.shapes.detect import detect_shape
from sepo_data.shapes.skip_reasons import SkipRow
from tests.fixtures.turns import assistant, system, user

ASKED = "Where does Max live?"
SHED, ROME = "In a shed by the river.", "In the city of Rome."
SAID = "The otter is called Max and lives in a shed."
BOTH = {"chosen": SHED, "rejected": ROME}
PROMPT, QUESTION, INSTRUCTION = ({name: ASKED, **BOTH} for name in ("prompt", "question", "instruction"))
MESSAGES = {"prompt": [user(ASKED)], "chosen": [assistant(SHED)], "rejected": [assistant(ROME)]}
DIALOGUES = {"chosen": [user(ASKED), assistant(SHED)], "rejected": [user(ASKED), assistant(ROME)]}
OPENED = {"chosen": f"Step 1: {SHED}", "rejected": f"Step 1: {ROME}"}
PICTURE = {"bytes": b"\x89PNG", "path": None}
PAIRS = [["Is Max an otter?", "Yes."], ["A big one?", "Rather."]]
TURNS = [user("Is Max an otter?"), assistant("Yes."), user("A big one?"), assistant("Rather.")]


def detect(row, roles=None, ignore=()):
    return detect_shape(list(row), [row], roles=roles or {}, ignore=ignore)


def read(row, roles=None, ignore=()):
    [pair] = detect(row, roles, ignore).to_pairs(0, row, ())
    return pair


def refused(row):
    with pytest.raises(SepoError) as caught:
        detect(row)
    return caught.value


DOUBTFUL = {
    # roles with values of another type
    "a history that is prose": (QUESTION | {"history": "They spoke about otters."}, "history"),
    "a history of single texts": (QUESTION | {"history": ["Is Max an otter?", "Yes."]}, "history"),
    "a history of objects of another kind": (PROMPT | {"history": [{"speaker": "A", "text": "Is it?"}]}, "history"),
    "a history of three by three": (QUESTION | {"history": [["W", "e", "s"]]}, "history"),
    "a history beside turns": (MESSAGES | {"history": PAIRS}, "history"),
    "a history beside dialogues": (DIALOGUES | {"history": TURNS}, "history"),
    "system texts": (PROMPT | {"system": ["Be brief.", "Be kind."]}, "system"),
    "a system object": (QUESTION | {"system_prompt": {"text": "Be brief."}}, "system_prompt"),
    "a system text that a user says": (MESSAGES | {"system": user("Be brief.")}, "system"),
    "a system text beside strings with the prompt inside": (OPENED | {"system": "Be brief."}, "system"),
    "names of tools": (MESSAGES | {"tools": ["dice", "search"]}, "tools"),
    "tools by name": (MESSAGES | {"tools": {"dice": {"n": 6}}}, "tools"),
    "tools beside strings with the prompt inside": (OPENED | {"tools": [{"name": "dice"}]}, "tools"),
    "template arguments in a list": (MESSAGES | {"chat_template_kwargs": [{"think": True}]}, "chat_template_kwargs"),
    "an input that is an object": (INSTRUCTION | {"input": {"text": SAID}}, "input"),
    "messages that hold more than the prompt": (PROMPT | {"messages": [system("Be brief."), user(ASKED)]}, "messages"),
    "a conversation that holds more": (QUESTION | {"conversation": [*TURNS, user(ASKED)]}, "conversation"),
    "a dialogue beside dialogues": (DIALOGUES | {"earlier_dialogue": TURNS}, "earlier_dialogue"),
    # turns in any column
    "a trajectory beside strings that begin alike": (
        OPENED | {"trajectory": [{"from": "user", "value": ASKED}]},
        "trajectory",
    ),
    "turns beside a question": (QUESTION | {"turns": TURNS}, "turns"),
    "turns beside a prompt": (PROMPT | {"earlier_messages": TURNS}, "earlier_messages"),
    "turns as text": (PROMPT | {"log": json.dumps(TURNS)}, "log"),
    "a dialogue in an object": (PROMPT | {"record": {"messages": [*TURNS, user(ASKED)]}}, "record"),
    "tools of another name": (MESSAGES | {"functions": [{"name": "dice"}]}, "functions"),
    "tools as text": (MESSAGES | {"available": ['{"name": "dice", "parameters": {}}']}, "available"),
    "a transcript that begins before the prompt": (
        PROMPT | {"transcript": f"Human: Who is Max?\n\nAssistant: An otter.\n\nHuman: {ASKED}\n\nAssistant: {SHED}"},
        "transcript",
    ),
    "a table": (QUESTION | {"table": [["name", "place"], ["Max", "shed"]]}, "table"),
    "texts of speakers": (QUESTION | {"chat": [{"speaker": "A", "text": SAID}]}, "chat"),
    "an earlier response": (PROMPT | {"previous_response": "I do not know yet."}, "previous_response"),
    "a system text of another name": (PROMPT | {"system_rules": "Answer like a pirate."}, "system_rules"),
    # text beside the prompt
    "a context": (QUESTION | {"context": SAID}, "context"),
    "a context beside a prompt": (PROMPT | {"context": SAID}, "context"),
    "a context beside turns": (MESSAGES | {"context": SAID}, "context"),
    "a context beside dialogues": (DIALOGUES | {"context": SAID}, "context"),
    "the beginning of a response": (PROMPT | {"initial_reason_steps": "Let us think. Step 1:"}, "initial_reason_steps"),
    "passages": (INSTRUCTION | {"retrievedPassages": [SAID, "Rome is a city."]}, "retrievedPassages"),
    "documents": (QUESTION | {"documents": [{"title": "Otters", "text": SAID}]}, "documents"),
    "a context in another script": (QUESTION | {"context": "水獭名叫马克斯住在河边的棚子里"}, "context"),
    "facts beside a guess": (QUESTION | {"facts": SAID}, "facts"),
    "a second question": (QUESTION | {"problem": "Name a fast bird."}, "problem"),
    "prose beside strings that begin alike": (OPENED | {"task": "Tell where Max lives."}, "task"),
    # pictures
    "a picture": (QUESTION | {"image": PICTURE}, "image"),
    "pictures": (MESSAGES | {"images": [PICTURE]}, "images"),
    "files with pictures": (PROMPT | {"images": ["cat.png"]}, "images"),
    "a place of a picture": (DIALOGUES | {"image_path": "cat.png"}, "image_path"),
    "a picture under another name": (QUESTION | {"figure": PICTURE}, "figure"),
    "a video": (QUESTION | {"video": "cat.mp4"}, "video"),
    "a mark before the text": (QUESTION | {"question": f"<image>\n{ASKED}"}, PICTURE_MARK),
    "a mark behind the text": (MESSAGES | {"prompt": [user(f"{ASKED} <|image_1|>")]}, PICTURE_MARK),
}


@pytest.mark.parametrize("case", DOUBTFUL)
def test_context_is_refused_by_name_with_a_way_out(case):
    row, column = DOUBTFUL[case]
    error = refused(row)
    assert column in str(error) or column == PICTURE_MARK
    assert error.hint.endswith(f"--ignore {column}") or error.hint.endswith(f"--ignore '{column}'")
    assert read(row, ignore=[column]) == read(
        {name: value for name, value in row.items() if name != column} if column != PICTURE_MARK else row,
        ignore=[column],
    )
    assert column == PICTURE_MARK or column in detect(row, ignore=[column]).unread


def ways(error):
    """The roles of every --columns in a hint."""
    options = [option.split("; ")[0] for option in error.hint.split("--columns ")[1:]]
    return [dict(entry.split("=") for entry in option.removesuffix(" or ").split(",")) for option in options]


@pytest.mark.parametrize("case", DOUBTFUL)
def test_each_way_of_the_hint_reads_the_column(case):
    row, column = DOUBTFUL[case]
    for way in ways(refused(row)):
        assert column in detect(row, way).columns.values()
        assert column not in detect(row, way).unread
        assert read(row, way) != read(row, ignore=[column])


def test_the_ways_of_some_hints():
    assert ways(refused(DOUBTFUL["a trajectory beside strings that begin alike"][0])) == [
        {"conversations": "trajectory"}
    ]
    assert ways(refused(DOUBTFUL["prose beside strings that begin alike"][0])) == [{"question": "task"}]
    assert ways(refused(DOUBTFUL["a history of single texts"][0])) == [{"history": "history"}]
    assert ways(refused(QUESTION | {"context": SAID})) == [
        {"system": "context"},
        {"instruction": "question", "input": "context"},
    ]
    assert ways(refused(QUESTION | {"image": PICTURE})) == []
    begun = PROMPT | {"initial_steps": "Step 1: look."}
    assert {"prefill": "initial_steps"} in ways(refused(begun))
    assert read(begun, {"prefill": "initial_steps"}).prompt == [user(ASKED), assistant("Step 1: look.")]


def test_all_doubts_are_named_at_once():
    row = QUESTION | {"context": SAID, "images": ["a.png"], "id": 3}
    error = refused(row)
    assert error.hint.endswith("--ignore images,context")
    assert "Pictures, sound and video cannot be read" in str(error)
    assert detect(row, ignore=["images", "context"]).unread == ("context", "images", "id")


INSIDE = {
    "a system text": (PROMPT, {"system_prompt": "Be brief."}, "system_prompt"),
    "a history": (QUESTION, {"history": PAIRS}, "history"),
    "a context": (MESSAGES, {"context": SAID}, "context"),
    "tools": (MESSAGES, {"tools": [{"name": "dice"}]}, "tools"),
    "a picture": (QUESTION, {"image_path": "cat.png"}, "image_path"),
}


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("case", INSIDE)
def test_context_inside_an_object_is_refused_by_its_dotted_name(case, written):
    row, inside, key = INSIDE[case]
    inside = inside | {"id": 3, "source": "a book about the otters", "prompt": "The prompt before it was rewritten."}
    full = row | {"metadata": json.dumps(inside) if written else inside}
    error = refused(full)
    assert error.hint.endswith(f"--ignore metadata.{key}")
    for way in ways(error):
        assert read(full, way) != read(row)
    assert detect(full, ignore=[f"metadata.{key}"]).unread == ("metadata",)
    assert read(full, ignore=[f"metadata.{key}"]) == read(full, ignore=["metadata"]) == read(row)


@pytest.mark.parametrize("row", [PROMPT, QUESTION, MESSAGES, DIALOGUES])
def test_other_objects_are_only_listed(row):
    known = {"question": ASKED, "messages": [user(ASKED)], "answer": "In some shed or other.", "document_id": "d 1"}
    assert detect(row | {"extra_info": known}).unread == ("extra_info",)
    assert detect(row | {"response_metadata": {"system_prompt": "Judge both of these."}}).unread


@pytest.mark.parametrize("case", INSIDE)
@pytest.mark.parametrize("known", [False, True])
def test_context_that_comes_up_later_inside_an_object_is_skipped(case, known):
    row, inside, key = INSIDE[case]
    if not known and key == "image_path":
        return  # any name may tell of pictures
    first = row | {"metadata": {"id": 3} | ({key: None} if known else {})}
    shape = detect(first)
    assert len(shape.to_pairs(0, first, ())) == 1
    with pytest.raises(SkipRow, match=f"metadata.{key}"):
        shape.to_pairs(1, row | {"metadata": {"id": 4} | inside}, ())
    ignoring = detect(first, ignore=[f"metadata.{key}"])
    assert ignoring.to_pairs(1, row | {"metadata": {"id": 4} | inside}, ())


NAMES = [*ROLE_OF_NAME, "images", "initial_steps", "functions", "facts", "log", "rationale", "id"]
TEXTS = st.sampled_from(["", "a", SAID, ASKED, json.dumps(TURNS), "[]"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.sampled_from([user(SAID), PICTURE]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=100)
@given(
    st.sampled_from([QUESTION, PROMPT, MESSAGES, DIALOGUES, OPENED]), st.dictionaries(st.sampled_from(NAMES), VALUES)
)
def test_every_column_is_read_or_listed_or_refused(row, more):
    row = more | row
    try:
        shape = detect(row)
    except SepoError as error:
        assert "--" in error.hint or "add a column" in error.hint  # noqa: PT017 - most rows raise nothing
        return
    assert {*shape.columns.values(), *shape.unread} == set(row)
