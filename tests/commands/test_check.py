"""`sepo check`, and the options of reading preferences."""

from __future__ import annotations

import json

import pytest

GOOD = {"prompt": "q", "chosen": "yes", "rejected": "no"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    files = {
        "a.jsonl": [GOOD | {"prompt": f"a{number}"} for number in range(7)],
        "b.jsonl": [GOOD | {"prompt": f"b{number}"} for number in range(9)],
        "c.jsonl": [GOOD | {"prompt": f"c{number}"} for number in range(9)],
        "renamed.jsonl": [{"q": "q", "better": "yes\x1b[2J", "worse": "no"}],
        "spoiled.jsonl": [GOOD, GOOD | {"chosen": ""}],
        "useless.jsonl": [GOOD | {"chosen": ""}, GOOD | {"rejected": "yes"}],
    }
    for name, rows in files.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def test_a_dataset_with_a_tokenizer(sepo, pipeline, prefs, tiny_model):
    done = sepo("check", prefs, "--tokenizer", tiny_model, "--json")
    next_line = f"next: sepo oracle {prefs} --ref {tiny_model} --out oracle/"
    assert (done.returncode, done.stderr) == (0, f"24/24  22 pairs\n{next_line}\n")
    found = json.loads(done.stdout)
    scored = json.loads(pipeline["score"][1].stdout)
    assert found["tokens"] == scored["tokens"], "what is counted is what is scored"
    assert {reason: entry["count"] for reason, entry in found["skipped"].items()} == scored["skipped"]
    assert (found["pairs"], found["rows"], found["max_length"]) == (22, 24, 512)
    assert "line 4" in found["skipped"]["invalid_json"]["detail"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["files", "streaming"])
def test_a_hub_dataset_with_a_tokenizer(sepo, hub_double, prefs, tiny_model, tmp_path, *, name):
    """`datasets` asks for torch, which this command leaves out."""
    with hub_double.HubDouble() as hub:
        repo = hub.repos["datasets", "tester/pairs"] = hub_double.Repo(private=False)
        lines = [line for line in prefs.read_bytes().splitlines(keepends=True) if line.startswith(b'{"')]
        repo.commit({"train.jsonl": b"".join(lines[:3])})
        done = sepo(
            *("check", "tester/pairs", "--tokenizer", tiny_model, "--json"),
            *(["--streaming"] if name == "streaming" else []),
            HF_ENDPOINT=hub.url,
            HF_HOME=tmp_path / "hf",
            HF_HUB_DISABLE_XET="1",
            HF_HUB_OFFLINE="0",
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["rows"], found["max_length"]) == (3, 512)
    assert found["tokens"]


RUNS = {
    "mixed as typed": ["--mix", "a.jsonl=0.7", "b.jsonl=0.3"],
    "three parts": ["--mix", "a.jsonl=1", "b.jsonl=1", "c.jsonl=1"],
    "repeated": ["--mix", "a.jsonl=1", "--mix", "b.jsonl=1", "--mix", "c.jsonl=1"],
    "in front": ["c.jsonl=1", "--mix", "a.jsonl=1", "b.jsonl=1"],
    "a sample": ["a.jsonl", "--shuffle", "--seed", "3", "--limit", "2"],
    "held out": ["a.jsonl", "--holdout", "2"],
    "columns": ["renamed.jsonl", "--columns", "prompt=q,chosen=better,rejected=worse"],
    "spoiled": ["spoiled.jsonl"],
    "nothing usable": ["useless.jsonl"],
    "fail": ["spoiled.jsonl", "--on-bad-row", "fail"],
    "no dataset": [],
    "two datasets": ["a.jsonl", "b.jsonl"],
    "no weight": ["--mix", "a.jsonl", "b.jsonl=1"],
    "no role": ["a.jsonl", "--columns", "better"],
    "a role twice": ["a.jsonl", "--columns", "chosen=better,chosen=worse"],
    "length of what": ["a.jsonl", "--max-length", "9"],
    "no split": ["a.jsonl", "--split", "test"],
}


@pytest.fixture(scope="module")
def results(folder, run_commands):
    return run_commands({name: ["check", *arguments, "--json", "--quiet"] for name, arguments in RUNS.items()}, folder)


def _found(results, name):
    code, out, err = results[name]
    assert (code, err) == (0, "")
    return json.loads(out)


def test_a_mixture_as_it_is_typed(results):
    found = _found(results, "mixed as typed")
    # 7 / 0.7 = 10 rows, of which b has three
    assert (found["rows"], found["pairs"]) == (10, 10)
    assert found["dataset"] == "a.jsonl=0.7 b.jsonl=0.3"
    assert found["shape"]["name"] == "mixture"
    same = [_found(results, name) for name in ("three parts", "repeated")]
    assert same[0] == same[1]
    assert same[0]["rows"] == 21
    assert _found(results, "in front")["rows"] == 21


def test_what_is_read(results):
    assert _found(results, "a sample")["rows"] == 2
    assert _found(results, "a sample")["example"]["prompt"] != "a0"
    assert _found(results, "held out")["holdout"] == 2
    assert _found(results, "columns")["example"] == {"row": 0, "prompt": "q", "chosen": "yes\x1b[2J", "rejected": "no"}
    assert _found(results, "spoiled")["skipped"]["empty_response"]["first_row"] == 1


def test_exit_codes(results):
    code, out, err = results["nothing usable"]
    assert (code, json.loads(out)["usable"]) == (1, False)
    assert "Error: no pair of the 2 rows can be used" in err
    code, out, err = results["fail"]
    assert (code, out) == (1, "")
    assert "Error: row 1 cannot be used (empty_response): spoiled.jsonl line 2: chosen" in err
    assert results["no split"][0] == 1


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no dataset", "0 datasets: name one, or mix several with --mix NAME=WEIGHT"),
        ("two datasets", "2 datasets: name one, or mix several with --mix NAME=WEIGHT"),
        ("no weight", "'a.jsonl': write NAME=WEIGHT, such as prefs.jsonl=0.7"),
        ("no role", "write ROLE=COLUMN"),
        ("a role twice", "a role is named twice"),
        ("length of what", "need a --tokenizer"),
    ],
)
def test_usage(results, name, sentence):
    code, out, err = results[name]
    assert (code, out) == (2, "")
    assert sentence in " ".join(err.split())


def test_nothing_in_the_data_steers_the_terminal(sepo, folder):
    done = sepo("check", "renamed.jsonl", "--columns", "prompt=q,chosen=better,rejected=worse", cwd=folder)
    assert done.returncode == 0
    assert "  chosen   > yes\\x1b[2J" in done.stdout


def test_options_of_reading_from_a_file(sepo, folder):
    (folder / "sepo.toml").write_text(
        "[check]\nmix = ['a.jsonl=0.7', 'b.jsonl=0.3']\n[score]\ncolumns = {chosen = 'better', prompt = 'q'}\n"
    )
    done = sepo("--config", "sepo.toml", "check", "--json", cwd=folder)
    assert json.loads(done.stdout)["rows"] == 10
    found = json.loads(sepo("--config", "sepo.toml", "config", "--json", cwd=folder).stdout)
    assert found["score"]["columns"] == {"value": "chosen=better,prompt=q", "source": "file"}
