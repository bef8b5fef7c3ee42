"""Lists and objects written as text: read where they can be read back, refused where not; prose stays prose."""

import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepo_data.errors import SepoError
from sepo_data.shapes.detect import detect_shape
from sepo_data.shapes.registry import SHAPES, registered_shapes
from sepo_data.shapes.skip_reasons import SkipRow
from sepo_data.shapes.written import is_cut_turns, parse_written
from tests.fixtures.turns import assistant, user

EXAMPLES = {entry.name: entry.example for entry in registered_shapes()}

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def numpy_text(value):
    """A list as numpy prints it: without commas, each item on a line of its own."""
    return "[" + "\n ".join(map(repr, value)) + "]" if isinstance(value, list) else value


def numpy_inside(value):
    """A value as numpy writes it inside another one."""
    if isinstance(value, list):
        return f"array([{', '.join(map(numpy_inside, value))}], dtype=object)"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {numpy_inside(inner)}" for key, inner in value.items()) + "}"
    return repr(value)


def as_text(row, write):
    return {column: value if isinstance(value, str) else write(value) for column, value in row.items()}


def is_value(text):
    try:
        parse_written(text)
    except ValueError:
        return False
    return True


def pairs_of(row, roles=None):
    shape = detect_shape(list(row), [row], roles=roles)
    return shape.name, [
        (pair.prompt, pair.chosen, pair.rejected, pair.tools, pair.ids) for pair in shape.to_pairs(0, row, ())
    ]


@given(st.lists(PLAIN) | st.dictionaries(st.text(), PLAIN))
def test_pythons_repr_is_read_back(value):
    assert parse_written(repr(value)) == json.loads(json.dumps(value))


def twice(value):
    """JSON text of JSON text, as two encoders in a row write it."""
    return json.dumps(json.dumps(value)) if isinstance(value, list | dict) else json.dumps(value)


@pytest.mark.parametrize("write", [repr, numpy_inside, twice])
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_shape_is_read_from_pythons_repr(name, write):
    assert pairs_of(as_text(EXAMPLES[name], write)) == pairs_of(EXAMPLES[name])


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_shape_reads_a_list_as_numpy_prints_it(name):
    """Two items and more, which numpy writes without a comma between them."""
    row = {column: [*value, *value] if isinstance(value, list) else value for column, value in EXAMPLES[name].items()}
    if row == EXAMPLES[name]:
        return
    with pytest.raises((SepoError, SkipRow)):
        pairs_of(as_text(row, numpy_text))


VALUES = {
    "tuples": ("[('a', 1), ('b',)]", [["a", 1], ["b"]]),
    "an array": ("array([{'a': 1}], dtype=object)", [{"a": 1}]),
    "arrays inside": (
        "{'m': array(['a', 'b'], dtype='<U1'), 'n': array([9. , 2.5])}",
        {"m": ["a", "b"], "n": [9, 2.5]},
    ),
    "numbers of numpy": ("[np.float64(3.0), np.int64(2), np.str_('a')]", [3.0, 2, "a"]),
    "escapes": (
        r"['it\'s', \"x\\n\", '\x00\u2028\U0001f600']".replace('\\"', '"'),
        ["it's", "x\\n", "\0\u2028\U0001f600"],
    ),
}


@pytest.mark.parametrize(("text", "value"), VALUES.values(), ids=VALUES)
def test_values(text, value):
    assert parse_written(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *(
            "[1 2]",
            "['a' 'b']",
            "[1, ..., 9]",
            "['a",
            "['a\\'",
            "{'a'}",
            "{1: 2}",
            "[b'a']",
            "[1,]",
            "(1]",
            "array([1)]",
        ),
        *("[x]", "[f(1)]", "['\\d']", "[1] and more", "prose", "'a'", "", "[" * 200, "(" * 200, "['\\U99999999']"),
    ],
)
def test_what_is_no_value(text):
    assert not is_value(text)


HOSTILE = {
    "brackets": "[" * 1_000_000,
    "quotes": "['" + "\\'" * 500_000,
    "lines": "[" + "'\n" * 500_000,
    "spaces": "[," + " " * 1_000_000 + "x",
    "commas": "[" + ", " * 500_000 + "x",
    "calls": "[" + "array(" * 200_000,
    "digits": "[" + "1" * 1_000_000 + " 2]",
    "roles": "[{'role': 'user' " + "'from':" * 150_000,
    "too long": "[{'role': 'user'} " + "'a' " * 2_000_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_passed_over_once(text):
    """A second pass for each character would take hours."""
    assert not is_value(text)
    is_cut_turns(text)


TURNS = [user("Where do otters sleep?"), assistant("Afloat.")]
CUT = {
    "numpy": "[{'content': 'Where?', 'role': 'user'}\n {'content': 'Afloat.', 'role': 'assistant'}]",
    "numpy, the ends": "[{'content': 'Where?', 'role': 'user'} ...\n {'content': 'A', 'role': 'assistant'}]",
    "lists in numpy": "[list([{'role': 'user', 'content': 'q'}])\n list([{'role': 'assistant', 'content': 'a'}])]",
    "duckdb": "[{'role': user, 'content': 'Where, otter?'}, {'role': assistant, 'content': Afloat.}]",
    "ruby": '[{"role"=>"user", "content"=>"Where?"}, {"role"=>"assistant", "content"=>"Afloat."}]',
    "pandas": "[{'content': 'Where do otters sleep?', 'role'...",
    "a spreadsheet": repr(TURNS)[:-20],
    "a spreadsheet, JSON": json.dumps(TURNS)[:-20],
    "a date": "[{'role': 'user', 'content': 'q', 'at': datetime.datetime(2023, 4, 9, tzinfo=datetime.timezone.utc)}]",
}
PROSE = {
    "code": "[{'role': 'user', 'content': prompt}]",
    "code with a call": "[{'role': 'user', 'content': ask()}, {'role': 'assistant'",
    "a list and words": f"{TURNS!r} is the list.",
    "cut JSON of another kind": '[{"role": "admin", "content": "Hel',
    "a cut object": '{"answer": "Hel',
    "a matrix": "[1 2; 3 4]",
    "numbers": "[1, 2, 3]",
    "a list": "['a', 'b']",
    "objects of JavaScript": '[{role: "user", content: "Hi"}, {role: "assistant", content: "Hello"}]',
    "an object": '{"a": 1}',
    "an object of Python": "{'a': [1, None]}",
    "extracted data": '[{"role": "CEO", "name": "Ann"}, {"from": "Bonn", "to": "Rome"}]',
    "the messages of a request": '[{"role": "system", "content": "Be terse."}, {"role": "user", "content": "Hi"}]',
    "a request": '{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}',
    "a list in quotes": '"[1, 2, 3]"',
    "words in quotes": '"[Sighs] I do not know."',
    "a bracket": "[Sighs] I do not know.",
    "a brace": "{name} is a placeholder.",
}


@pytest.mark.parametrize("text", CUT.values(), ids=CUT)
@pytest.mark.parametrize(
    "columns", [("prompt", "chosen", "rejected"), ("question", "chosen", "rejected"), ("chosen", "rejected")]
)
def test_cut_turns_are_refused(text, columns):
    rows = [{**dict.fromkeys(columns, "Where?"), "chosen": text, "rejected": text.replace("Where", "There") + " "}] * 3
    with pytest.raises(SepoError, match=r"^chosen holds lists as text that cannot be read back") as caught:
        detect_shape(list(columns), rows)
    assert "JSON lines or Parquet" in caught.value.hint
    good = {**dict.fromkeys(columns, "Where? "), "chosen": "Where? Afloat.", "rejected": "Where? In trees."}
    shape = detect_shape(list(columns), [good] * 9 + rows[:1])
    with pytest.raises(SkipRow) as skipped:
        shape.to_pairs(0, rows[0], ())
    assert skipped.value.reason == "written_turns"


@pytest.mark.parametrize("text", PROSE.values(), ids=PROSE)
def test_an_answer_with_brackets_stays_text(text):
    """Alone among answers of other kinds, and where all answers are of its kind."""
    row = {"prompt": "Answer: ", "chosen": text, "rejected": "I do not know."}
    plain = {**row, "chosen": "Yes."}
    for rows in ([row] * 3, [plain] * 9 + [row]):
        if text.startswith(('[{"role": "system"', '{"model"')) and rows[0] is row:
            continue  # nothing tells such answers from conversations
        shape = detect_shape(list(row), rows)
        [pair] = shape.to_pairs(0, row, ())
        assert (shape.name, pair.prompt, pair.chosen) == ("explicit strings", "Answer: ", text)


@pytest.mark.parametrize("text", [repr(TURNS), json.dumps(TURNS), repr(TURNS[1]), json.dumps({"messages": TURNS})])
def test_a_row_of_turns_among_prose_is_skipped(text):
    plain = {"prompt": "Where? ", "chosen": "Afloat.", "rejected": "In trees."}
    for column in plain:
        shape = detect_shape(list(plain), [plain] * 20)
        with pytest.raises(SkipRow) as caught:
            shape.to_pairs(0, {**plain, column: text}, ())
        assert (caught.value.reason, caught.value.detail.split()[0]) == ("written_turns", column)


def test_a_row_of_turns_among_ranked_answers_is_skipped():
    row = {"instruction": "Where?", "completions": ["Afloat.", repr(TURNS)], "scores": [1, 2]}
    with pytest.raises(SkipRow, match="written_turns"):
        pairs_of(row)
    row = SHAPES["ranked"].example
    row = {**row, "completions": [row["completions"][0], {**row["completions"][1], "response": repr(TURNS)}]}
    with pytest.raises(SkipRow, match="written_turns"):
        pairs_of(row)


def test_cut_rows_do_not_hide_the_others():
    good = {"chosen": repr([user("q"), assistant("yes")]), "rejected": repr([user("q"), assistant("no")])}
    cut = {**good, "chosen": good["chosen"][:-9]}
    shape = detect_shape(list(good), [good] * 8 + [cut] * 2)
    assert shape.name == "implicit messages"
    with pytest.raises(SkipRow, match="wrong_type"):
        shape.to_pairs(0, cut, ())


def test_turns_with_one_unknown_speaker_are_no_prose():
    row = {
        side: repr([user("q"), {"role": "critic", "content": word}])
        for side, word in (("chosen", "a"), ("rejected", "b"))
    }
    shape = detect_shape(list(row), [row])
    with pytest.raises(SkipRow, match="unknown_role"):
        shape.to_pairs(0, row, ())


@pytest.mark.parametrize("key", ["messages", "conversations"])
@pytest.mark.parametrize("write", [json.dumps, repr, lambda value: value])
def test_objects_that_hold_turns_are_opened(write, key):
    both = {side: write({key: [user("q"), assistant(word)]}) for side, word in (("chosen", "a"), ("rejected", "b"))}
    assert pairs_of(both) == pairs_of({"chosen": [user("q"), assistant("a")], "rejected": [user("q"), assistant("b")]})
    tools = [{"name": "f"}]
    asked = {"prompt": write({key: [user("q")], "tools": tools}), "chosen": "a", "rejected": "b"}
    assert pairs_of(asked) == pairs_of({"prompt": [user("q")], "tools": tools, "chosen": "a", "rejected": "b"})


def test_numpys_lists_of_texts_are_refused():
    row = {"instruction": "q", "completions": "['a' 'b']", "scores": "[1, 2]"}
    with pytest.raises(SepoError, match=r"\. completions holds lists as text that cannot be read back"):
        pairs_of(row)
    row = {"prompt": "['q' 'r']", "response_a": "['a' 'b']", "response_b": "['c' 'd']", "winner": "model_a"}
    with pytest.raises(SkipRow, match="wrong_type"):
        pairs_of(row)


@settings(max_examples=50)
@given(
    st.lists(st.text(min_size=1), min_size=2, max_size=3, unique=True).filter(lambda texts: all(map(str.strip, texts)))
)
def test_turns_through_a_csv_file(texts):
    """Whatever the texts hold: what pandas writes is read as the turns that it was."""
    asked, *answers = texts
    row = {"chosen": [user(asked), assistant(answers[0])], "rejected": [user(asked), assistant(answers[-1] + "!")]}
    file = io.StringIO(newline="")
    csv.writer(file).writerows([row.keys(), map(str, row.values())])
    file.seek(0)
    [read] = csv.DictReader(file)
    assert pairs_of(read) == pairs_of(row)


TOOLS = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]
BESIDE = {
    "tools": TOOLS,
    "history": [["Hello", "Hi!"], ["Well?", "Fine."]],
    "system": [{"role": "system", "content": "Be terse."}],
    "chat_template_kwargs": {"enable_thinking": False},
    "question": {"full_text": "Where?", "dataset": "eli5"},
}


@pytest.mark.parametrize("write", [json.dumps, repr, numpy_inside])
@pytest.mark.parametrize("column", BESIDE)
def test_columns_beside_the_responses_are_read_from_text(column, write):
    row = {"question": "Where?", "chosen": "Afloat.", "rejected": "In trees.", column: BESIDE[column]}
    assert pairs_of({**row, column: write(BESIDE[column])}) == pairs_of(row)


@pytest.mark.parametrize("column", ["tools", "history"])
def test_cut_columns_beside_the_responses_are_refused(column):
    row = {"prompt": "Where?", "chosen": "Afloat.", "rejected": "In trees.", column: numpy_text(BESIDE[column])}
    with pytest.raises(SepoError, match=f"^{column} holds lists as text that cannot be read back"):
        pairs_of(row)
