"""Mistakes of a hurried user: each ends in one sentence and a hint, writes nothing and shows no traceback."""

from __future__ import annotations

import json

import pytest

GOOD = {"prompt": "Say", "chosen": "a", "rejected": "b"}
TURN = {
    "prompt": [{"role": "user", "content": "Say"}],
    "chosen": [{"role": "assistant", "content": "a"}],
    "rejected": [{"role": "assistant", "content": "b"}],
}

SCORE = ["score", "good.jsonl", "--oracle", "oracle", "--ref", "ref"]

MODEL_MISTAKES = {
    "no file": (["score", "god.jsonl", *SCORE[2:]], 1, "no such file or folder", "did you mean good.jsonl"),
    "no column": (
        [*SCORE, "--keep-columns", "chosn,prompt"],
        1,
        "has no column chosn; it has prompt",
        "did you mean chosen?",
    ),
    "no rows": (["score", "empty.jsonl", *SCORE[2:]], 1, "empty.jsonl has no rows", ""),
    "no pair": (
        ["score", "spoiled.jsonl", *SCORE[2:]],
        1,
        "no pair of 2 rows of spoiled.jsonl can be used: 1 empty_response, 1 equal_responses",
        "docs/datasets.md",
    ),
    "all too long": ([*SCORE, "--max-length", "2"], 1, "1 too_long", "--max-length"),
    "longer than the context": ([*SCORE, "--max-length", "1000"], 1, "exceeds the context", "use at most 512"),
    "no template": (
        ["score", "turns.jsonl", "--oracle", "plain", "--ref", "plain"],
        1,
        "has no chat template",
        "--chat-template",
    ),
    "template is not there": ([*SCORE, "--chat-template", "no.jinja"], 1, "no.jinja", ""),
    "two vocabularies": (
        ["score", "good.jsonl", "--oracle", "other", "--ref", "ref"],
        1,
        "different vocabular",
        "famil",
    ),
    "no split": ([*SCORE, "--split", "tran"], 1, "tran", "--split"),
    "no GGUF": (["score", "good.jsonl", "--oracle", "no.gguf", "--ref", "ref"], 1, "no.gguf does not exist", ".gguf"),
    "damaged GGUF": (["score", "good.jsonl", "--oracle", "bad.gguf", "--ref", "ref"], 1, "bad.gguf", "damaged"),
    "no model in the folder": (
        ["score", "good.jsonl", "--oracle", "foreign", "--ref", "ref"],
        1,
        "foreign",
        "safetensors",
    ),
    "no such model": (
        ["score", "good.jsonl", "--oracle", "some/model", "--ref", "ref"],
        4,
        "some/model",
        "unset HF_HUB_OFFLINE",
    ),
    "out holds something else": ([*SCORE, "--out", "foreign"], 3, "that sepo did not write", "another --out"),
    "out is a file": ([*SCORE, "--out", "good.jsonl"], 3, "is a file", "another --out"),
    "out is in a file": ([*SCORE, "--out", "good.jsonl/out"], 1, "Not a directory", ""),
    "out cannot be made": ([*SCORE, "--out", "/proc/out"], 1, "/proc/out: No such file", ""),
    "rewards for a policy": (["train", "foreign", "--policy", "ref"], 1, "has no sepo.json", "sepo"),
}

MISTAKES = {
    "a bare 30": (["select", "r", "--chosen", "30", "--out", "s"], 2, "write 30% or a number up to 1"),
    "no share": (["select", "r", "--chosen", "0", "--out", "s"], 2, "more than 0%"),
    "not a share": (["select", "r", "--chosen", "nan", "--out", "s"], 2, "write 30% or 0.3"),
    "not a beta": (["score", "d", "--oracle", "o", "--ref", "r", "--out", "s", "--beta", "0"], 2, "not above 0"),
    "no number": (["train", "s", "--policy", "p", "--out", "o", "--target-margin", "nan"], 2, "not a number"),
    "no epochs": (["train", "s", "--policy", "p", "--out", "o", "--epochs", "0"], 2, "not above 0"),
    "unknown option": (["select", "r", "--out", "s", "--selected", "1"], 2, "No such option: --selected"),
    "unknown command": (["scor"], 2, "Did you mean"),
    "no argument": (["info"], 2, "Missing argument"),
    "a file": (["info", "good.jsonl"], 1, "good.jsonl is a file, not a directory"),
    "a foreign folder": (["info", "foreign"], 1, "has no sepo.json"),
    "no config": (["--config", "no.toml", "config"], 1, "no.toml does not exist"),
    "unknown keys": (["--config", "typo.toml", "config"], 1, "did you mean chosen?"),
    "bare share in a file": (["--config", "bare.toml", "select", "r", "--out", "s"], 2, "write 50%"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_models, save_tiny):
    folder = tmp_path_factory.mktemp("mistakes")
    for name, rows in {
        "good.jsonl": [GOOD],
        "turns.jsonl": [TURN],
        "empty.jsonl": [],
        "spoiled.jsonl": [GOOD | {"chosen": ""}, GOOD | {"chosen": "b"}],
    }.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for name, model in tiny_models.items():
        (folder / name).symlink_to(model)
    save_tiny(folder / "other", vocabulary=320)
    save_tiny(folder / "plain", template=None)
    (folder / "bad.gguf").write_bytes(b"GGUF, or so it says")
    (folder / "foreign").mkdir()
    (folder / "foreign" / "thesis.tex").write_text("years of work", encoding="utf-8")
    (folder / "typo.toml").write_text("[select]\nchosn = 0.5\n", encoding="utf-8")
    (folder / "bare.toml").write_text("[select]\nchosen = 50\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def results(folder, run_commands):
    commands = {
        name: arguments if "--out" in arguments else [*arguments, "--out", "out"]
        for name, (arguments, *_) in MODEL_MISTAKES.items()
    }
    before = sorted(str(path) for path in folder.rglob("*"))
    found = run_commands(commands, folder)
    assert sorted(str(path) for path in folder.rglob("*")) == before
    return found


@pytest.mark.parametrize("name", MODEL_MISTAKES)
def test_mistake_with_data_and_models(results, name):
    _, expected, sentence, hint = MODEL_MISTAKES[name]
    code, out, err = results[name]
    assert (code, out) == (expected, ""), err
    message, _, advice = err[err.rindex("Error: ") :].partition("\nHint: ")
    assert sentence in message
    assert hint in advice
    assert "Traceback" not in err


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(sepo, folder, name):
    arguments, expected, sentence = MISTAKES[name]
    done = sepo(*arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (expected, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("pair", ["9999", "-1", "0123456789abcdef"])
def test_no_such_pair(sepo, pipeline, pair):
    done = sepo("show", pipeline["score"][0], "--pair", pair)
    assert done.returncode == 1
    assert f"has no pair '{pair}'" in done.stderr
    assert "0 to 21" in done.stderr


def test_debug_shows_where_an_error_came_from(sepo):
    done = sepo("info", "no-such-folder", SEPO_DEBUG="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "Error: no-such-folder does not exist" in done.stderr


def test_too_many_rows_set_aside(sepo, pipeline, score_arguments):
    for limit, allowed in (("1", 1), ("1%", 0), ("5%", 1)):
        done = sepo(*score_arguments, "--out", pipeline["score"][0], "--max-skipped", limit)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"Error: 2 of 24 rows were skipped, --max-skipped allows {allowed}" in done.stderr
        assert "is complete, and" in done.stderr
        assert "accept it with --max-skipped 2" in done.stderr
    done = sepo(*score_arguments, "--out", pipeline["score"][0], "--max-skipped", "2")
    assert (done.returncode, done.stdout) == (0, f"{pipeline['score'][0]}\n")
    assert "nothing to do" in done.stderr
    assert sepo(*score_arguments, "--out", "s", "--max-skipped", "some").returncode == 2


FULL = """
import errno, os
from sepo_data.storage import atomic
real = os.fsync
def full(descriptor, calls=[]):
    calls.append(1)
    if len(calls) > 20:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    real(descriptor)
os.fsync = full
"""


def test_full_disk_leaves_what_looks_unfinished_and_goes_on(sepo, pipeline, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(FULL, encoding="utf-8")
    out = tmp_path / "s"
    done = sepo("select", pipeline["score"][0], "--out", out, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "Error: No space left on device" in done.stderr
    assert not (out / "state.json").exists()
    assert not list(out.rglob("*.sepo-tmp"))
    assert sepo("select", pipeline["score"][0], "--out", out).returncode == 0
    ours, theirs = ({file.name: file.read_bytes() for file in f.glob("*.arrow")} for f in (out, pipeline["select"][0]))
    assert ours == theirs
