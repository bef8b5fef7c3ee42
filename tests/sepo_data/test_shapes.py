"""Every shape from a row written out by hand, and every reason for which a row is set aside."""

import pytest

from schemas.errors import SepoError
from sepo_data.shapes import REASONS, BadRow, detect_shape


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def system(content):
    return {"role": "system", "content": content}


def shape_of(*rows):
    return detect_shape(list(dict.fromkeys(key for row in rows for key in row)), rows)


def pair_of(row, keep=()):
    """(name of the shape, prompt, chosen, rejected)."""
    shape = shape_of(row)
    pair = shape.to_pair(7, row, keep)
    assert pair.source_row == 7
    assert pair.conversational == shape.conversational
    return shape.name, pair.prompt, pair.chosen, pair.rejected


YES_NO = ([assistant("yes")], [assistant("no")])
HUMAN = {"from": "human", "value": "hi"}

SHAPES = {
    "strings, as they stand": (
        {"prompt": "q \n", "chosen": " yes ", "rejected": "no"},
        ("explicit strings", "q \n", " yes ", "no"),
    ),
    "an empty string prompt": (
        {"prompt": "", "chosen": "yes", "rejected": "no"},
        ("explicit strings", "", "yes", "no"),
    ),
    "strings that begin alike": (
        {"chosen": "Q: is it?\nA: yes sir", "rejected": "Q: is it?\nA: yes madam"},
        ("implicit strings", "Q: is it?\nA: yes", " sir", " madam"),
    ),
    "a border inside a word": (
        {"chosen": "Say: \ncat", "rejected": "Say: \ncar"},
        ("implicit strings", "Say: \n", "cat", "car"),
    ),
    "one string begins the other": (
        {"chosen": "Say it now", "rejected": "Say it now please"},
        ("implicit strings", "Say it", " now", " now please"),
    ),
    "message lists": (
        {"prompt": [user("q")], "chosen": YES_NO[0], "rejected": YES_NO[1]},
        ("explicit messages", [user("q")], *YES_NO),
    ),
    "message lists that repeat the prompt": (
        {"prompt": [user("q")], "chosen": [user("q"), *YES_NO[0]], "rejected": [user("q"), *YES_NO[1]]},
        ("explicit messages", [user("q")], *YES_NO),
    ),
    "messages with string answers": (
        {"prompt": [system("s"), user("q")], "chosen": "yes", "rejected": "no"},
        ("explicit messages", [system("s"), user("q")], *YES_NO),
    ),
    "dialogues": (
        {"chosen": [user("q"), *YES_NO[0]], "rejected": [user("q"), *YES_NO[1]]},
        ("implicit messages", [user("q")], *YES_NO),
    ),
    "ultrafeedback: the prompt is not doubled": (
        {"prompt": "q ", "chosen": [user("q"), *YES_NO[0]], "rejected": [user("q"), *YES_NO[1]], "messages": []},
        ("dialogues with prompt", [user("q")], *YES_NO),
    ),
    "ultrafeedback with a system turn": (
        {
            "prompt": "q",
            "chosen": [system("s"), user("q"), *YES_NO[0]],
            "rejected": [system("s"), user("q"), *YES_NO[1]],
        },
        ("dialogues with prompt", [system("s"), user("q")], *YES_NO),
    ),
    "a prompt string before message lists": (
        {"prompt": "q", "chosen": YES_NO[0], "rejected": YES_NO[1]},
        ("prompt string and messages", [user("q")], *YES_NO),
    ),
    "system and prompt": (
        {"system": "s", "prompt": "q", "chosen": "yes", "rejected": "no"},
        ("system and prompt", [system("s"), user("q")], *YES_NO),
    ),
    "an empty system": (
        {"system": " ", "prompt": "q", "chosen": "yes", "rejected": "no"},
        ("system and prompt", [user("q")], *YES_NO),
    ),
    "a null system": (
        {"system": None, "prompt": "q", "chosen": "yes", "rejected": "no"},
        ("system and prompt", [user("q")], *YES_NO),
    ),
    "orca: system and question": (
        {"system": "s", "question": "q", "chosen": "yes", "rejected": "no"},
        ("question", [system("s"), user("q")], *YES_NO),
    ),
    "alpaca": (
        {"instruction": "do", "input": "this", "output": "so", "chosen": "yes", "rejected": "no"},
        ("alpaca", [user("do\n\nthis")], *YES_NO),
    ),
    "alpaca without input": (
        {"instruction": "do", "input": "", "chosen": "yes", "rejected": "no"},
        ("alpaca", [user("do")], *YES_NO),
    ),
    "sharegpt": (
        {
            "conversations": [{"from": "system", "value": "s"}, HUMAN, {"from": "gpt", "value": "a"}, HUMAN],
            "chosen": {"from": "gpt", "value": "yes"},
            "rejected": {"from": "gpt", "value": "no"},
        },
        ("sharegpt", [system("s"), user("hi"), assistant("a"), user("hi")], *YES_NO),
    ),
    "sharegpt with string answers and a system column": (
        {"system": "s", "conversations": [HUMAN], "chosen": "yes", "rejected": "no"},
        ("sharegpt", [system("s"), user("hi")], *YES_NO),
    ),
    "structs of Arrow have every key": (
        {"prompt": [{**HUMAN, "role": None, "content": None}], "chosen": "yes", "rejected": "no"},
        ("explicit messages", [user("hi")], *YES_NO),
    ),
    "shp, A preferred": (
        {"history": "q", "human_ref_A": "yes", "human_ref_B": "no", "labels": 1},
        ("shp", [user("q")], *YES_NO),
    ),
    "shp, B preferred, from CSV": (
        {"history": "q", "human_ref_A": "no", "human_ref_B": "yes", "labels": "0"},
        ("shp", [user("q")], *YES_NO),
    ),
    "hh": (
        {
            "chosen": "\n\nHuman: hi\n\nAssistant:  hello \n\nHuman: really? Human: yes\n\nAssistant: yes",
            "rejected": "\n\nHuman: hi\n\nAssistant:  hello \n\nHuman: really? Human: yes\n\nAssistant: no \n",
        },
        ("hh transcripts", [user("hi"), assistant(" hello"), user("really? Human: yes")], *YES_NO),
    ),
    "hh that differs earlier": (
        {
            "chosen": "\n\nHuman: hi\n\nAssistant: a\n\nHuman: b\n\nAssistant: c",
            "rejected": "\n\nHuman: hi\n\nAssistant: no",
        },
        ("hh transcripts", [user("hi")], [assistant("a\n\nHuman: b\n\nAssistant: c")], YES_NO[1]),
    ),
}


@pytest.mark.parametrize("case", SHAPES)
def test_shape(case):
    row, expected = SHAPES[case]
    assert pair_of(row) == expected


def test_description_is_one_sentence_that_names_columns():
    for row, _ in SHAPES.values():
        description = shape_of(row).description
        assert description.endswith(".")
        assert ". " not in description
        assert any(column in description for column in row)


STRINGS = {"prompt": "q", "chosen": "yes", "rejected": "no"}
DIALOGUES = {"chosen": [user("q"), *YES_NO[0]], "rejected": [user("q"), *YES_NO[1]]}
HH = SHAPES["hh"][0]
SHP = SHAPES["shp, A preferred"][0]
MESSAGES = SHAPES["message lists"][0]
ULTRA = SHAPES["ultrafeedback: the prompt is not doubled"][0]

BAD = [
    (STRINGS, {"prompt": "q", "rejected": "no"}, "missing_column", "chosen"),
    (STRINGS, {**STRINGS, "rejected": None}, "null", "rejected"),
    (STRINGS, {**STRINGS, "prompt": 3}, "wrong_type", "prompt is int, not a string"),
    (STRINGS, {**STRINGS, "chosen": " \n"}, "empty_response", "chosen"),
    (STRINGS, {**STRINGS, "chosen": "no"}, "equal_responses", "chosen is rejected"),
    (STRINGS, {**STRINGS, "prompt": "q\ud800"}, "invalid_unicode", "prompt, character 1"),
    (DIALOGUES, {**DIALOGUES, "chosen": []}, "empty_response", "chosen"),
    (DIALOGUES, {**DIALOGUES, "chosen": [user("q"), assistant("")]}, "empty_response", "chosen"),
    (DIALOGUES, {**DIALOGUES, "chosen": [user("q"), user("r")]}, "ends_in_user_turn", "chosen ends in a user turn"),
    (
        DIALOGUES,
        {"chosen": [user("q"), assistant("a"), user("r"), assistant("x")], "rejected": [user("q"), assistant("b")]},
        "other_speaker",
        "chosen holds a user turn",
    ),
    (
        MESSAGES,
        {**MESSAGES, "chosen": [*MESSAGES["prompt"], assistant("yes")]},
        "prompt_mismatch",
        "one response repeats the prompt and the other does not",
    ),
    (DIALOGUES, {**DIALOGUES, "chosen": DIALOGUES["rejected"]}, "equal_responses", "chosen is rejected"),
    (DIALOGUES, {**DIALOGUES, "chosen": [user("x"), *YES_NO[0]]}, "empty_prompt", "no turn comes before the response"),
    (DIALOGUES, {**DIALOGUES, "chosen": "yes"}, "wrong_type", "chosen is str, not a list of turns"),
    (DIALOGUES, {**DIALOGUES, "chosen": [user("q"), "yes"]}, "wrong_type", "chosen[1] is no turn of role and content"),
    (DIALOGUES, {**DIALOGUES, "chosen": [user("q"), assistant(None)]}, "null", "chosen[1].content"),
    (
        DIALOGUES,
        {**DIALOGUES, "chosen": [user("q"), assistant(["a"])]},
        "wrong_type",
        "chosen[1].content is list, not a string",
    ),
    (
        DIALOGUES,
        {**DIALOGUES, "chosen": [user("q"), {"role": "tool", "content": "3"}]},
        "unknown_role",
        "chosen[1] is by tool",
    ),
    (
        DIALOGUES,
        {**DIALOGUES, "chosen": [user("q"), {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}]},
        "tool_calls",
        "chosen[1]",
    ),
    (MESSAGES, {**MESSAGES, "prompt": []}, "empty_prompt", "no turn comes before the response"),
    (
        {**MESSAGES, "system": "s"},
        {**MESSAGES, "system": "s", "prompt": [system("t"), user("q")]},
        "two_system_turns",
        "the system column is not the system turn of the conversation",
    ),
    (ULTRA, {**ULTRA, "prompt": "r"}, "prompt_mismatch", "no user turn before the responses is the prompt column"),
    (
        HH,
        {**HH, "chosen": "\n\nHuman: other"},
        "no_shared_turn",
        "chosen and rejected share no beginning from Human: to Assistant:",
    ),
    (HH, {**HH, "chosen": "\n\nHuman: hi\n\nAssistant: "}, "empty_response", "chosen"),
    (SHP, {**SHP, "labels": None}, "unknown_label", "labels is None"),
    (SHP, {**SHP, "human_ref_B": ""}, "empty_response", "rejected"),
]


@pytest.mark.parametrize(("good", "bad", "reason", "detail"), BAD)
def test_bad_row(good, bad, reason, detail):
    with pytest.raises(BadRow) as caught:
        shape_of(good).to_pair(0, bad, ())
    assert (caught.value.reason, caught.value.detail) == (reason, detail)


def test_every_reason_is_described_and_tested():
    of_text_files = {"invalid_json", "invalid_utf8", "not_an_object", "wrong_number_of_fields"}
    assert {reason for _, _, reason, _ in BAD} | of_text_files == set(REASONS)


def test_kept_columns():
    row = {**STRINGS, "score": 3.5, "tags": ["a"]}
    assert shape_of(row).to_pair(0, row, ("score", "absent")).extra == {"score": 3.5, "absent": None}
    with pytest.raises(BadRow, match="invalid_unicode"):
        shape_of(row).to_pair(0, {**row, "tags": [{"deep": "\udfff"}]}, ("tags",))


def test_null_rows_do_not_mislead():
    nothing = dict.fromkeys(STRINGS)
    assert shape_of(nothing, STRINGS).name == "explicit strings"
    assert shape_of(dict.fromkeys(HH), HH).name == "hh transcripts"
    assert shape_of(dict.fromkeys(ULTRA), ULTRA).name == "dialogues with prompt"
    assert shape_of({**STRINGS, "chosen": 3}, STRINGS, STRINGS).name == "explicit strings"


def test_columns_that_fit_nothing():
    with pytest.raises(
        SepoError, match=r"fit no preference shape: query \(string\), chosen_response \(string\)"
    ) as caught:
        shape_of({"query": "q", "chosen_response": "a", "rejected_response": "b"})
    assert caught.value.hint == (
        "rename the columns to prompt, chosen and rejected; for chosen, did you mean chosen_response?;"
        " for rejected, did you mean rejected_response?"
    )


def test_answers_that_share_no_prompt_are_not_taken_for_whole_texts():
    with pytest.raises(SepoError, match="the prompt has to be a column of its own"):
        shape_of({"query": "q", "chosen": "yes", "rejected": "no"})


def test_two_candidates_for_the_prompt():
    with pytest.raises(
        SepoError, match=r"more than one shape: the user says question, .* Or: the user says instruction"
    ):
        shape_of({"question": "q", "instruction": "i", "chosen": "yes", "rejected": "no"})
    assert shape_of({**STRINGS, "instruction": "i", "question": "q"}).name == "explicit strings"
