"""`sepo evaluate`: its output, its files and its refusals."""

import json

import pytest

FAST = ("--kl-samples", "2", "--max-new-tokens", "4", "--no-progress")


@pytest.fixture(scope="module")
def runs(pipeline, prefs, tiny_model, run_commands, tmp_path_factory, save_tiny):  # noqa: PLR0917 - fixtures
    """Exit code, standard output and error of many commands, and the folder they ran in."""
    folder = tmp_path_factory.mktemp("evaluate")
    policy, selection = pipeline["train"][0], pipeline["select"][0]
    (folder / "prompts.jsonl").write_text('{"instruction": "Tea?"}\n{"turns": ["Tea?", "Why?"]}\n', encoding="utf-8")
    (folder / "useless.jsonl").write_text('{"text": "Tea?"}\n', encoding="utf-8")
    (folder / "judge.py").write_text("def longer(prompt, answer):\n    return len(answer)\n", encoding="utf-8")
    other = save_tiny(folder / "other", vocabulary=300)
    both = ("evaluate", policy, "--against", tiny_model, *FAST)
    ask = ("--data", prefs, "--limit", "4", "--generate", "prompts.jsonl")
    return folder, run_commands(
        {
            "table": (*both, "--data", selection),
            "json": (*both, "--data", selection, "--json", "--quiet"),
            "alone": ("evaluate", policy, "--data", prefs, "--limit", "4"),
            "answers": (*both, *ask, "--judge", "judge.py:longer", "--out", "out"),
            "again": (*both, *ask, "--out", "out"),
            "unasked": (*both, *ask, "--out", "out", "--overwrite"),
            "overwrite": (*both, *ask, "--out", "out", "--overwrite", "--yes"),
            "vocabulary": ("evaluate", policy, "--against", other, "--data", prefs),
            "no data": ("evaluate", policy),
            "missing": ("evaluate", policy, "--data", "missing.jsonl"),
            "useless": (*both, "--data", prefs, "--generate", "useless.jsonl", "--out", "other-out"),
            "no out": (*both, *ask),
            "judge": (*both, *ask, "--judge", str(tiny_model), "--out", "other-out"),
            "cold": (*both, "--data", prefs, "--temperature", "-1"),
        },
        folder,
    )


def test_a_table_on_the_pairs_that_the_policy_has_not_seen(runs, pipeline):
    _, done = runs
    code, table, talk = done["table"]
    assert code == 0, talk
    assert "those that --holdout 20% kept out" in table
    for words in ("accuracy", "log ratio of the two, a response", "KL(", "k3 on 2 sampled answers", "rejected"):
        assert words in table
    assert "pairs under" in talk


def test_json_is_one_object(runs):
    _, done = runs
    code, answer, talk = done["json"]
    assert (code, talk) == (0, "")
    found = json.loads(answer)
    assert set(found["preference"]) == {"model", "against"}
    assert found["kl"]["answers"] == 2


def test_a_model_alone(runs):
    code, table, _ = runs[1]["alone"]
    assert code == 0
    assert "KL" not in table


def test_answers_and_a_win_rate(runs):
    folder, done = runs
    code, table, talk = done["answers"]
    assert code == 0, talk
    assert "95% interval" in table
    files = sorted(str(file.relative_to(folder / "out")) for file in (folder / "out").rglob("*") if file.is_file())
    names = ("policy", "ref")
    assert files == sorted(
        ["evaluation.json"]
        + [f"alpaca_eval/{name}.json" for name in names]
        + [f"mt_bench/model_answer/{name}.jsonl" for name in names]
    )
    assert str(folder / "out" / "alpaca_eval" / "policy.json") in table or "out/alpaca_eval/policy.json" in table


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("again", 3, "out holds an evaluation"),
        ("unasked", 3, "--overwrite would delete out"),
        ("vocabulary", 1, "have different vocabularies"),
        ("no data", 2, "0 datasets"),
        ("missing", 1, "no such file"),
        ("useless", 1, "has no prompt among 1 rows"),
        ("no out", 1, "are written to files"),
        ("judge", 1, "no sequence classifier"),
        ("cold", 2, "is below 0"),
    ],
)
def test_what_goes_wrong_is_told(runs, name, code, message):
    folder, done = runs
    found, answer, talk = done[name]
    assert (found, answer) == (code, "")
    assert message in " ".join(talk.split())
    assert not (folder / "other-out").exists()


def test_another_evaluation_is_replaced(runs):
    folder, done = runs
    assert done["overwrite"][0] == 0
    assert "judge" not in json.loads((folder / "out" / "evaluation.json").read_text(encoding="utf-8"))
