"""A dry run of `sepo score` ends as the run will, and the run ends early where reading is enough to know."""

from __future__ import annotations

import json

import pytest

GOOD = [{"prompt": f"Tea, {n}?", "chosen": f" Yes, {n}.", "rejected": f" No, not {n}."} for n in range(8)]
LONG = GOOD[0] | {"prompt": "Tea? " * 60}
VOTES = [
    {"prompt": f"Tea, {n}?", "response_a": f" Yes, {n}.", "response_b": f" No, not {n}.", "winner": winner}
    for n, winner in enumerate(["model_a", "tie", "model_b", "tie", "model_a", "model_b", "model_a", "tie"])
]

DATA = {
    "good": GOOD,
    "one null": [*GOOD, GOOD[0] | {"chosen": None}],
    "three ties": VOTES,
    "one too long": [*GOOD, LONG],
    "one null, one too long": [GOOD[0] | {"rejected": None}, *GOOD, LONG],
    "repeated": [*GOOD, *GOOD],
}

CASES = [
    # data, options, exit code, unusable rows, and whether reading alone finds more of them than are allowed
    ("good", (), 0, 0, False),
    ("one null", (), 1, 1, True),
    ("one null", ("--max-skipped", "1"), 0, 1, False),
    ("one null", ("--max-skipped", "12%"), 0, 1, False),
    ("one null", ("--max-skipped", "11%"), 1, 1, True),
    ("one null", ("--on-bad-row", "fail"), 1, None, True),
    ("three ties", (), 1, 3, True),
    ("three ties", ("--max-skipped", "40%"), 0, 3, False),
    ("one too long", (), 1, 1, False),
    ("one too long", ("--truncate", "prompt"), 0, 0, False),
    ("one too long", ("--on-bad-row", "fail"), 1, None, False),
    ("one null, one too long", ("--max-skipped", "1"), 1, 2, False),
    ("repeated", ("--dedupe",), 0, 0, False),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory, tiny_models, run_commands):
    """Of each case the dry run and the run: exit code, standard output, standard error; and the folder of all."""
    folder = tmp_path_factory.mktemp("dry")
    for name, rows in DATA.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    models = [word for role, model in tiny_models.items() for word in (f"--{role}", model)]
    commands = {}
    for number, (data, options, *_) in enumerate(CASES):
        command = ["score", f"{data}.jsonl", *models, "--max-length", "60", *options, "--out", f"out{number}"]
        commands |= {f"dry {number}": [*command, "--dry-run"], f"run {number}": command}
    return folder, run_commands(commands, folder)


@pytest.mark.parametrize("number", range(len(CASES)), ids=[" ".join([data, *options]) for data, options, *_ in CASES])
def test_a_dry_run_ends_as_the_run(results, number):
    folder, found = results
    _, _, code, unusable, by_reading = CASES[number]
    (dry, answer, talk), (run, _, run_talk) = found[f"dry {number}"], found[f"run {number}"]
    assert (dry, run) == (code, code), talk + run_talk
    assert (folder / f"out{number}").exists() is not by_reading or code == 0
    if unusable is None:
        assert "cannot be used" in talk
        return
    assert sum(json.loads(answer)["skipped"].values()) >= unusable
    assert f"dry run: {json.loads(answer)['rows']} pairs would be scored, " in talk
    if code:
        assert f"{unusable} of " in talk
        assert "the run would end with exit code 1, too" in talk
        assert f"accept it with --max-skipped {unusable}" in talk
        assert ("nothing was scored" in run_talk) is by_reading
        assert ("is complete, and" in run_talk) is not by_reading
