"""Every shape from a row written out by hand, and every reason for which a row is skipped."""

import json
import pickle

import pytest

from sepo_data.shapes.detect import detect_shape
from sepo_data.shapes.skip_reasons import READING_REASONS, SkipRow
from tests.fixtures.turns import assistant, system, user


def shape_of(*rows, **options):
    return detect_shape(list(dict.fromkeys(key for row in rows for key in row)), rows, **options)


def pair_of(row, **options):
    """(name of the shape, prompt, chosen, rejected)."""
    shape = pickle.loads(pickle.dumps(shape_of(row, **options)))  # noqa: S301 - as it goes to another process
    [pair] = shape.to_pairs(7, row, ())
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
    "strings that repeat the prompt": (
        {"prompt": "Is it? ", "chosen": "Is it? yes", "rejected": "Is it? no"},
        ("explicit strings", "Is it? ", "yes", "no"),
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
    "a prompt column that is not in the dialogues": (
        {"prompt": "other", "chosen": [user("q"), *YES_NO[0]], "rejected": [user("q"), *YES_NO[1]]},
        ("implicit messages", [user("q")], *YES_NO),
    ),
    "ultrafeedback with the prompt in two columns": (
        {"prompt": "q", "instruction": "q", "chosen": [user("q"), *YES_NO[0]], "rejected": [user("q"), *YES_NO[1]]},
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
    "argilla: instruction and chosen_response": (
        {"instruction": "q", "chosen_response": "yes", "rejected_response": "no", "chosen_avg_rating": 4.0},
        ("alpaca", [user("q")], *YES_NO),
    ),
    "distilabel: system and input": (
        {
            "system": "s",
            "input": "q",
            "chosen": "yes",
            "rejected": "no",
            "generations": ["yes", "no"],
            "rating": [9, 8],
        },
        ("question", [system("s"), user("q")], *YES_NO),
    ),
    "stack exchange: response_j and response_k": (
        {"qid": 1, "question": "q", "date": "today", "response_j": "yes", "response_k": "no"},
        ("question", [user("q")], *YES_NO),
    ),
    "a question that the answers repeat": (
        {"question": "Is it?", "chosen": "Is it?\nyes", "rejected": "Is it?\nno"},
        ("question", [user("Is it?")], *YES_NO),
    ),
    "a winner and a loser": (
        {"query": "q", "winner": "yes", "loser": "no"},
        ("question", [user("q")], *YES_NO),
    ),
    "alpaca with a history that is no conversation": (
        {"instruction": "q", "history": "long", "chosen": "yes", "rejected": "no"},
        ("alpaca", [user("q")], *YES_NO),
    ),
    "alpaca with a history": (
        {"instruction": "q", "history": [["hi", "a"]], "chosen": "yes", "rejected": "no"},
        ("alpaca", [user("hi"), assistant("a"), user("q")], *YES_NO),
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
    "axolotl: messages and single answers": (
        {"messages": [user("q")], "chosen": assistant("yes"), "rejected": assistant("no")},
        ("sharegpt", [user("q")], *YES_NO),
    ),
    "swift": (
        {"messages": [system("s"), user("q"), *YES_NO[0]], "rejected_response": "no"},
        ("swift", [system("s"), user("q")], *YES_NO),
    ),
    "swift with two dialogues": (
        {"messages": [user("q"), *YES_NO[0]], "rejected_messages": [user("q"), *YES_NO[1]]},
        ("swift", [user("q")], *YES_NO),
    ),
    "swift's older columns": (
        {"system": "s", "query": "q", "response": "yes", "rejected_response": "no", "history": [["a", "b"]]},
        ("question", [system("s"), user("a"), assistant("b"), user("q")], *YES_NO),
    ),
    "a response beside a chosen one": (
        {"prompt": "q", "response": "so", "chosen_response": "yes", "rejected_response": "no"},
        ("explicit strings", "q", "yes", "no"),
    ),
    "swift with its last answer twice": (
        {"messages": [user("q"), *YES_NO[0]], "response": "yes", "rejected_response": "no"},
        ("swift", [user("q")], *YES_NO),
    ),
    "Gemini's contents and parts": (
        {
            "systemInstruction": {"role": "system", "parts": [{"text": "s"}]},
            "contents": [{"role": "user", "parts": [{"text": "q"}]}],
            "chosen": {"role": "model", "parts": [{"text": "y"}, {"text": "es"}]},
            "rejected": {"role": "model", "parts": [{"text": "no", "inlineData": None}]},
        },
        ("sharegpt", [system("s"), user("q")], *YES_NO),
    ),
    "Bedrock's contents": (
        {
            "messages": [{"role": "user", "content": [{"text": "q"}]}],
            "chosen": {"role": "assistant", "content": [{"text": "yes"}]},
            "rejected": {"role": "assistant", "content": [{"text": "no"}]},
        },
        ("sharegpt", [user("q")], *YES_NO),
    ),
    "messages as JSON text": (
        {"prompt": json.dumps([user("q")]), "chosen": json.dumps(YES_NO[0]), "rejected": json.dumps(YES_NO[1])},
        ("explicit messages", [user("q")], *YES_NO),
    ),
    "text that is JSON but no conversation": (
        {"prompt": "12", "chosen": '[{"role": "CEO"}]', "rejected": '[{"role": "CTO"}]'},
        ("explicit strings", "12", '[{"role": "CEO"}]', '[{"role": "CTO"}]'),
    ),
    "a content of text parts": (
        {
            "prompt": [user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])],
            "chosen": "yes",
            "rejected": "no",
        },
        ("explicit messages", [user("ab")], *YES_NO),
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
    "speakers of other formats": (
        {
            "prompt": [
                {"role": "developer", "content": "s"},
                {"role": "User", "content": "q"},
                {"role": "ipython", "content": "1"},
                {"role": "function", "content": "2"},
            ],
            "chosen": [{"role": "Assistant", "content": "yes"}],
            "rejected": "no",
        },
        (
            "explicit messages",
            [system("s"), user("q"), {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"}],
            *YES_NO,
        ),
    ),
    "strings with a history of turns": (
        {"prompt": "q", "history": [["hi", "a"]], "chosen": "yes", "rejected": "no"},
        ("system and prompt", [user("hi"), assistant("a"), user("q")], *YES_NO),
    ),
    "a prompt made of an instruction": (
        {"prompt": "Do: this", "instruction": "this", "input": " ", "chosen": "yes", "rejected": "no"},
        ("explicit strings", "Do: this", "yes", "no"),
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
REPEATED = SHAPES["strings that repeat the prompt"][0]
REPEATED_QUESTION = SHAPES["a question that the answers repeat"][0]
ALPACA = SHAPES["alpaca with a history"][0]
SWIFT = SHAPES["swift"][0]
WRITTEN = SHAPES["messages as JSON text"][0]
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
        {**DIALOGUES, "chosen": [user("q"), {"role": "critic", "content": "3"}]},
        "unknown_role",
        "chosen[1] is by critic",
    ),
    (
        DIALOGUES,
        {**DIALOGUES, "chosen": [user("q"), {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}]},
        "tool_calls",
        "a turn has tool_calls, the first rows have no such thing",
    ),
    (
        DIALOGUES,
        {**DIALOGUES, "chosen": [user("q"), {"role": "tool", "content": "3"}]},
        "ends_in_user_turn",
        "chosen ends in a tool turn",
    ),
    (STRINGS, {**STRINGS, "chosen": "x" * 4_000_001}, "too_large", "chosen has 4,000,001 characters"),
    (
        DIALOGUES,
        {**DIALOGUES, "chosen": [assistant("x" * 999_999)] * 5},
        "too_large",
        "chosen has 4,999,995 characters",
    ),
    (REPEATED, {**REPEATED, "chosen": "yes"}, "prompt_mismatch", "chosen does not begin with the prompt"),
    (REPEATED, {**REPEATED, "chosen": "Is it? "}, "empty_response", "chosen"),
    (
        REPEATED_QUESTION,
        {**REPEATED_QUESTION, "rejected": "no"},
        "prompt_mismatch",
        "rejected does not begin with the prompt",
    ),
    (ALPACA, {**ALPACA, "history": [["hi"]]}, "wrong_type", "history[0] is no list of a question and an answer"),
    (SWIFT, {**SWIFT, "messages": [user("q")]}, "ends_in_user_turn", "chosen ends in a user turn"),
    (SWIFT, {**SWIFT, "messages": []}, "empty_response", "chosen"),
    (WRITTEN, {**WRITTEN, "chosen": "[{"}, "wrong_type", "chosen is no JSON text"),
    (WRITTEN, {**WRITTEN, "chosen": " "}, "null", "chosen"),
    (MESSAGES, {**MESSAGES, "prompt": []}, "empty_prompt", "no turn comes before the response"),
    (
        {**MESSAGES, "system": "s"},
        {**MESSAGES, "system": "s", "prompt": [system("t"), user("q")]},
        "two_system_turns",
        "system is not the system turn of the conversation",
    ),
    (ULTRA, {**ULTRA, "prompt": "r"}, "prompt_mismatch", "no user turn before the responses is prompt"),
    (
        HH,
        {**HH, "chosen": "\n\nHuman: other"},
        "no_shared_turn",
        "the two share no beginning from Human: to Assistant:",
    ),
    (HH, {**HH, "chosen": "\n\nHuman: hi\n\nAssistant: "}, "empty_response", "chosen"),
    (
        HH,
        {
            "chosen": "\n\nHuman: hi\n\nAssistant: no",
            "rejected": "\n\nHuman: hi\n\nAssistant: a\n\nHuman: b\n\nAssistant: c",
        },
        "other_speaker",
        "rejected holds a user turn",
    ),
    *(
        (
            good,
            {**good, column: value},
            "late_column",
            f"the first rows have no {column}: put a row that has it first, or --ignore it",
        )
        for good, column, value in (
            (MESSAGES, "tools", [{"name": "f"}]),
            (MESSAGES, "system_prompt", "s"),
            ({**STRINGS, "tools": []}, "tools", [{"name": "f"}]),
            (STRINGS, "history", [["hi", "a"]]),
            (SHAPES["argilla: instruction and chosen_response"][0], "input", "this"),
        )
    ),
    (
        STRINGS,
        {**STRINGS, "chosen": json.dumps([user("q"), *YES_NO[0]])},
        "written_turns",
        "chosen is a conversation of 2 turns",
    ),
    (SHP, {**SHP, "labels": None}, "unknown_label", "labels is None"),
    (SHP, {**SHP, "human_ref_B": ""}, "empty_response", "rejected"),
]


@pytest.mark.parametrize(("good", "bad", "reason", "detail"), BAD)
def test_bad_row(good, bad, reason, detail):
    with pytest.raises(SkipRow) as caught:
        shape_of(good).to_pairs(0, bad, ())
    assert (caught.value.reason, caught.value.detail) == (reason, detail)


def test_every_reason_of_the_text_is_tested():
    elsewhere = {  # in the tests of readers, of ranks and votes, of ids and of duplicates
        *("invalid_json", "invalid_utf8", "not_an_object", "wrong_number_of_fields", "invalid_csv"),
        *("tie", "too_few_answers", "invalid_score", "invalid_ids", "duplicate"),
    }
    assert {reason for _, _, reason, _ in BAD} | elsewhere == set(READING_REASONS)


def test_kept_columns():
    row = {**STRINGS, "score": 3.5, "tags": ["a"]}
    [pair] = shape_of(row).to_pairs(0, row, ("score", "absent"))
    assert pair.extra == {"score": 3.5, "absent": None}
    with pytest.raises(SkipRow, match="invalid_unicode"):
        shape_of(row).to_pairs(0, {**row, "tags": [{"deep": "\udfff"}]}, ("tags",))


def test_null_rows_do_not_mislead():
    nothing = dict.fromkeys(STRINGS)
    assert shape_of(nothing, STRINGS).name == "explicit strings"
    assert shape_of(dict.fromkeys(HH), HH).name == "hh transcripts"
    assert shape_of(dict.fromkeys(ULTRA), ULTRA).name == "dialogues with prompt"
    assert shape_of({**STRINGS, "chosen": 3}, STRINGS, STRINGS).name == "explicit strings"


def test_most_rows_decide_whether_the_prompt_is_repeated():
    """A response may well begin with the words of a short prompt."""
    hello = {"prompt": "Hello", "chosen": "Hello there!", "rejected": "Hello?"}
    [pair] = shape_of(hello, STRINGS, STRINGS).to_pairs(0, hello, ())
    assert (pair.prompt, pair.chosen) == ("Hello", "Hello there!")
    [pair] = shape_of(hello, REPEATED, STRINGS).to_pairs(0, hello, ())
    assert (pair.prompt, pair.chosen) == ("Hello", " there!")
