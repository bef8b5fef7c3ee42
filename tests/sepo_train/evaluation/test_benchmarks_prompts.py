"""Prompts of a file in the manner of AlpacaEval, of MT-Bench or plain, and the rows that are skipped."""

import json

import pytest

from sepo_data.errors import SepoError
from sepo_train.evaluation.benchmarks import Prompt, read_prompts

ROWS = [
    ({"instruction": "Say hi.", "output": "Hi", "dataset": "toy"}, Prompt(0, ("Say hi.",), dataset="toy")),
    ({"instruction": "Add.", "input": "1 2"}, Prompt(1, ("Add.\n\n1 2",))),
    (
        {"question_id": 81, "category": "writing", "turns": ["Write.", "Again."]},
        Prompt(2, ("Write.", "Again."), question_id=81),
    ),
    ({"prompt": "Why?"}, Prompt(3, ("Why?",))),
    ({"prompt": ["Why?", "And?"]}, Prompt(4, ("Why?", "And?"), question_id=4)),
    ({"turns": ["One turn."]}, Prompt(5, ("One turn.",), question_id=5)),
    (
        {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]},
        Prompt(6, ("Why?",), system="Be brief."),
    ),
]
BAD = [
    ({"text": "Why?"}, "missing_column", "text"),
    ({"instruction": ""}, "empty_prompt", "instruction"),
    ({"instruction": 5}, "wrong_type", "int"),
    ({"turns": "Why?"}, "wrong_type", "turns"),
    ({"turns": []}, "wrong_type", "turns"),
    ({"turns": ["Why?", None]}, "wrong_type", "NoneType"),
    ({"turns": ["Why?"], "question_id": [1]}, "wrong_type", "question_id"),
    ({"turns": ["Why not?"], "question_id": 81}, "duplicate", "81"),
    (
        {"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        "unknown_role",
        "user, assistant",
    ),
]


def write(folder, rows):
    file = folder / "prompts.jsonl"
    file.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def test_every_kind_of_row(tmp_path):
    prompts, skipped = read_prompts(write(tmp_path, [row for row, _ in ROWS]))
    assert prompts == [prompt for _, prompt in ROWS]
    assert skipped == []


def test_an_array_is_read_as_well(tmp_path):
    file = tmp_path / "alpaca.json"
    file.write_text(json.dumps([ROWS[0][0]]), encoding="utf-8")
    assert read_prompts(str(file)) == ([ROWS[0][1]], [])


def test_unusable_rows_are_skipped(tmp_path):
    good = [row for row, _ in ROWS]
    prompts, skipped = read_prompts(write(tmp_path, [*good, "{half a line\n", *(row for row, *_ in BAD)]))
    assert len(prompts) == len(ROWS)
    assert [row.row for row in skipped] == list(range(7, 17))
    assert [row.reason for row in skipped] == ["invalid_json", *(reason for _, reason, _ in BAD)]
    for found, (_, _, detail) in zip(skipped[1:], BAD, strict=True):
        assert detail in found.detail


def test_a_file_without_prompts(tmp_path):
    with pytest.raises(SepoError, match=r"has no prompt among 2 rows \(2 missing_column\); row 0: neither") as error:
        read_prompts(write(tmp_path, [{"a": "b"}, {"a": "c"}]))
    assert "instruction" in error.value.hint
    with pytest.raises(SepoError, match="no such file"):
        read_prompts(str(tmp_path / "missing.jsonl"))


def test_a_later_turn_sees_the_answers_before_it():
    prompt = Prompt(0, ("a", "b"), system="s")
    system, first = {"role": "system", "content": "s"}, {"role": "user", "content": "a"}
    assert prompt.messages(()) == [system, first]
    answer, second = {"role": "assistant", "content": "A"}, {"role": "user", "content": "b"}
    assert prompt.messages(("A",)) == [system, first, answer, second]
