"""The findings of a dataset before any model is loaded."""

import json

import pytest

from sepo_data.analysis.check import check
from sepo_data.analysis.check_report import check_lines
from sepo_data.errors import SepoError
from sepo_data.preferences.reading import Reading


def turns(asked, chosen, rejected):
    return {
        "prompt": [{"role": "user", "content": asked}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }


@pytest.fixture
def write(tmp_path):
    def lines(*rows):
        path = tmp_path / "prefs.jsonl"
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return str(path)

    return lines


@pytest.fixture(scope="session")
def tokenizer(tiny_model):
    from sepo_train.models.tokenizers import load_tokenizer

    return load_tokenizer(str(tiny_model))


ROWS = [
    {"prompt": "ab", "chosen": "cde", "rejected": "f"},
    "{",
    {"prompt": "ab", "chosen": "cde", "rejected": "f"},
    {"prompt": "gh", "chosen": "", "rejected": "f"},
    {"prompt": "gh", "chosen": "f", "rejected": ""},
    {"prompt": "abcdef", "chosen": "cde", "rejected": "fghi"},
]


def test_what_needs_no_tokenizer(write):
    found = check(write(*ROWS))
    assert (found["rows"], found["pairs"], found["rows_used"], found["usable"]) == (6, 3, 3, True)
    assert found["skipped"] == {
        "empty_response": {"count": 2, "first_row": 3, "detail": "prefs.jsonl line 4: chosen"},
        "invalid_json": {
            "count": 1,
            "first_row": 1,
            "detail": found["skipped"]["invalid_json"]["detail"],
        },
    }
    assert "prefs.jsonl line 2" in found["skipped"]["invalid_json"]["detail"]
    assert (found["repeated_pairs"], found["prompts"], found["unit"]) == (1, 2, "characters")
    # prompts of 2, 2 and 6 characters, responses of 3 and 1, 3 and 1, 3 and 4
    assert found["lengths"]["prompt"] == {
        "min": 2,
        "mean": 3.3,
        "p50": 2,
        "p90": 6,
        "p95": 6,
        "p99": 6,
        "max": 6,
    }
    assert found["lengths"]["longest"]["max"] == 10
    assert found["histogram"] == [
        {"from": 4, "to": 5, "pairs": 2},
        {"from": 6, "to": 7, "pairs": 0},
        {"from": 8, "to": 11, "pairs": 1},
    ]
    # a quarter of 10, 9 and 6 characters, rounded up
    assert (found["tokens"], found["tokens_are_estimated"]) == ({"prompt": 3, "chosen": 3, "rejected": 2}, True)
    assert found["example"] == {"row": 0, "prompt": "ab", "chosen": "cde", "rejected": "f"}
    assert "over_limit" not in found


def test_columns_that_are_not_read_are_listed(write):
    found = check(write({**ROWS[0], "id": 3, "source\n": "here"}))
    assert found["unread"] == ["id", "source\n"]
    assert list(check_lines(found))[2] == "not read: id, source\n"
    nothing = check(write(ROWS[0]))
    assert nothing["unread"] == []
    assert not any(line.startswith("not read") for line in check_lines(nothing))


def test_what_is_tokenized_already_is_counted_in_tokens(write):
    found = check(write({"prompt_ids": [5, 6], "chosen_ids": [7, 8, 9], "rejected_ids": [7]}))
    assert (found["unit"], found["tokens"]) == ("tokens", {"prompt": 2, "chosen": 3, "rejected": 1})
    assert found["example"] == {"row": 0, "prompt": "[5, 6]", "chosen": "[7, 8, 9]", "rejected": "[7]"}


def test_without_a_tokenizer_calls_and_reasoning_are_shown(write):
    row = turns("a", "b", "")
    row["chosen"][0]["reasoning_content"] = "because"
    row["rejected"][0]["tool_calls"] = [{"name": "f", "arguments": {"x": 1}}]
    found = check(write(row))
    assert found["example"]["chosen"] == "assistant: b\nreasoning_content: because"
    assert found["example"]["rejected"].startswith('assistant: \ntool_calls: [{"type":"function"')
    assert found["lengths"]["chosen"]["max"] == len(found["example"]["chosen"])


def test_tokens_are_those_that_scoring_will_see(write, tokenizer):
    from sepo_data.shapes.pairs import Pair
    from sepo_data.tokenization.tokenize import tokenize_pairs

    rows = [turns("Shall I have tea?", "Yes, it is lovely.", "No."), turns("Why is that so?", "Because.", "Why not?")]
    found = check(write(*rows), tokenizer=tokenizer, max_length=100)
    pairs = [Pair(number, row["prompt"], row["chosen"], row["rejected"]) for number, row in enumerate(rows)]
    expected = tokenize_pairs(pairs, tokenizer, max_length=100)
    for part in ("prompt", "chosen", "rejected"):
        assert found["tokens"][part] == sum(len(getattr(item, f"{part}_ids")) for item in expected)
    assert found["example"] == {
        "row": 0,
        "prompt": "<|im_start|>user\nShall I have tea?<|im_end|>\n<|im_start|>assistant\n",
        "chosen": "Yes, it is lovely.<|im_end|>",
        "rejected": "No.<|im_end|>",
    }
    assert found["unit"] == "tokens"
    assert not found["tokens_are_estimated"]


def test_pairs_over_the_limit_are_counted_with_their_lengths(write, tokenizer):
    rows = [turns("a" * size, "b" * other, "c") for size, other in ((10, 10), (10, 200), (300, 10))]
    found = check(write(*rows), tokenizer=tokenizer, max_length=120)
    assert found["over_limit"] == {"pairs": 2, "prompts": 1}
    assert (found["pairs"], found["skipped"]["too_long"]["count"]) == (1, 2)
    assert found["skipped"]["too_long"]["first_row"] == 1
    assert "response tokens exceed 120" in found["skipped"]["too_long"]["detail"]
    assert found["lengths"]["prompt"]["max"] > 120, "lengths tell which limit would do"
    reasons = {"count": 1, "first_row": 2}
    assert {
        name: check(write(*rows), tokenizer=tokenizer, max_length=found["lengths"]["longest"]["max"] - 1)["skipped"][
            "too_long"
        ][name]
        for name in reasons
    } == reasons


def test_rows_skipped_while_reading_count(write):
    found = check(Reading(write(*ROWS), dedupe=True, holdout=1))
    assert found["skipped"]["duplicate"] == {"count": 1, "first_row": 2, "detail": "equals row 0"}
    assert (found["pairs"], found["repeated_pairs"], found["holdout"]) == (2, 0, 1)


def test_the_first_bad_row_ends_it_where_that_is_asked_for(write):
    with pytest.raises(SepoError, match=r"row 1 cannot be used \(invalid_json\): prefs\.jsonl line 2") as caught:
        check(write(*ROWS), on_bad_row="fail")
    assert "--on-bad-row skip" in caught.value.hint
    good = [ROWS[0], ROWS[0], ROWS[5]]
    assert check(Reading(write(*good), dedupe=True), on_bad_row="fail")["pairs"] == 2, "repetition is nothing bad"


def test_nothing_usable_is_said_so(write, tokenizer):
    found = check(write(turns("a", "b", "c")), tokenizer=tokenizer, max_length=2)
    assert (found["usable"], found["pairs"], found["example"]) == (False, 0, None)
    assert found["lengths"]["longest"]["min"] > 2
    assert any(line.startswith("0 pairs from 0 rows") for line in check_lines(found))


def test_lines_for_people(write, tokenizer):
    rows = [turns("Shall I have tea?", "Yes.\nIt is lovely.", "No."), turns("x" * 400, "b", "c"), "{"]
    lines = list(check_lines(check(write(*rows), tokenizer=tokenizer, max_length=200)))
    assert lines[0].endswith("prefs.jsonl: 3 rows, content " + lines[0][-16:])
    assert lines[1].startswith("read as explicit messages: prompt is a list of turns")
    begin = lines.index("the pair of row 0")
    assert lines[begin + 1 : begin + 7] == [
        "  prompt   | <|im_start|>user",
        "           | Shall I have tea?<|im_end|>",
        "           | <|im_start|>assistant",
        "           |",
        "  chosen   > Yes.",
        "           > It is lovely.<|im_end|>",
    ]
    assert "2 skipped" in lines
    assert "1 pair over 200 tokens, 1 by the prompt alone" in lines
    assert "0 pairs that repeat another, 2 different prompts" in lines
    assert any(line.split()[:2] == ["tokens", "min"] for line in lines)
    assert sum("#" in line for line in lines) == 2, "a bar for each pair"


def test_a_long_text_is_shortened_in_the_middle(write):
    found = check(write({"prompt": "p", "chosen": "a" * 1000 + "z" * 1000, "rejected": "r"}))
    lines = list(check_lines(found))
    [cut] = [line for line in lines if "characters ..." in line]
    assert cut.endswith("... 1,400 characters ...")
    assert lines[lines.index(cut) - 1].count("a") == 300
    assert lines[lines.index(cut) + 1].count("z") == 300


def test_one_of_a_thing_is_singular(write):
    lines = list(check_lines(check(write(turns("a", "b", "c")))))
    assert "1 row, content" in lines[0]
    assert "1 pair from 1 row" in lines
    assert "0 pairs that repeat another, 1 different prompt" in lines
    twice = list(check_lines(check(write(turns("a", "b", "c"), turns("a", "b", "c")))))
    assert "2 pairs from 2 rows" in twice
    assert "1 pair that repeats another, 1 different prompt" in twice
