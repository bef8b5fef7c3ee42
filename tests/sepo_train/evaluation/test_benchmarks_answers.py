"""The two formats, field by field, and what models are called in them."""

import json

import pytest

from sepo_train.evaluation.benchmarks import Answers, Prompt, file_names, write_answers

PROMPTS = [
    Prompt(0, ("Say hi.",), dataset="toy"),
    Prompt(1, ("Write.", "Again."), question_id=81),
    Prompt(2, ("Why?",), system="Be brief."),
]
ANSWERS = [
    Answers(("Hi ä",), (2,), (True,)),
    Answers(("One", "Two"), (1, 1), (True, True)),
    Answers(("",), (0,), (False,)),
]


def test_alpaca_eval_and_mt_bench(tmp_path):
    files = write_answers(tmp_path, "policy", PROMPTS, ANSWERS)
    alpaca, bench = tmp_path / "alpaca_eval" / "policy.json", tmp_path / "mt_bench" / "model_answer" / "policy.jsonl"
    assert files == [str(alpaca), str(bench)]
    assert json.loads(alpaca.read_text(encoding="utf-8")) == [
        {"dataset": "toy", "instruction": "Say hi.", "output": "Hi ä", "generator": "policy"},
        {"instruction": "Why?", "output": "", "generator": "policy"},
    ]
    [line] = map(json.loads, bench.read_text(encoding="utf-8").splitlines())
    assert isinstance(line.pop("tstamp"), float)
    assert len(line.pop("answer_id")) == 22
    assert line == {"question_id": 81, "model_id": "policy", "choices": [{"index": 0, "turns": ["One", "Two"]}]}


def test_a_format_that_nothing_is_in_has_no_file(tmp_path):
    write_answers(tmp_path, "policy", PROMPTS[:1], ANSWERS[:1])
    write_answers(tmp_path, "none", [], [])
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["policy.json"]


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["policy/", "models/ref.gguf"], ["policy", "ref"]),
        (["user/model", "other/model"], ["user__model", "other__model"]),
        (["a/x/m", "b/x/m"], ["a__x__m", "b__x__m"]),
        (["m", "m"], ["m-1", "m-2"]),
        (["x/m", "m"], ["x__m", "m"]),
        ([".", "m"], ["model", "m"]),
    ],
)
def test_names_of_files_tell_models_apart(names, files):
    assert file_names(names) == files
