"""`sepo report`: the answer, the notes, the refusals and errors of each mistake, and that no half file is left."""

from __future__ import annotations

import json
import signal

import pytest

from sepo_data.schemas.manifest import InputRecord, Manifest
from sepo_data.schemas.stages import Stage
from sepo_data.stages.writer import open_stage

DIFFERENT = "the directories have tokens of different tokenizers, so nothing can be compared"
SAME_DATA = "compare directories that were scored from the same data"
STAGES = "give a directory that `sepo score` or `sepo select` wrote"


@pytest.fixture(scope="module")
def folder(selected, rewards_of, write_rewards, texts, tmp_path_factory):
    """Directories of every kind, beside files that are in the way."""
    folder = tmp_path_factory.mktemp("reports")
    for name in ("rewards", "rewards_otherwise", "selection"):
        (folder / name).symlink_to(selected.parent / name)
    table = rewards_of([([1.0, 2.0], [1.0])])
    write_rewards(folder / "numbered_on", [rewards_of([([1.0], [1.0])], first=7)], tokenizer=texts)
    for name in ("byte", "word"):
        write_rewards(folder / name, [table], tokenizer=texts)
        plant(folder / name, tokenizer={"name": name, "tokenizer": name, "chat_template": None, "vocabulary": 15})
    write_rewards(folder / "oracle", [table], tokenizer=texts)
    plant(folder / "oracle", stage="oracle")
    unfinished(folder / "unfinished", [table], texts)
    unfinished(folder / "begun", [], texts)
    (folder / "empty").mkdir()
    (folder / "folder.html").mkdir()
    for name in ("old.html", "older.html"):
        (folder / name).write_text("years of work")
    return folder


def plant(folder, **values):
    """Change fields of the manifest, whose fingerprint follows."""
    file = folder / "sepo.json"
    fields = json.loads(file.read_text(encoding="utf-8")) | values
    del fields["fingerprint"]
    manifest = Manifest.model_validate(fields)
    file.write_text(manifest.to_json(), encoding="utf-8")
    state = folder / "state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"_fingerprint": manifest.fingerprint}))


def unfinished(folder, tables, tokenizer):
    """A run of three shards that was stopped after `tables`."""
    plan = Manifest(stage=Stage.REWARDS, input=InputRecord(name="toy", fingerprint="f", rows=3))
    stage = open_stage(folder, plan, shards=3)
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    for index, table in enumerate(tables):
        stage.write_shard(index, table)


@pytest.fixture(scope="module")
def results(folder, run_commands):
    commands = {
        "rewards": ["rewards", "--out", "r.html"],
        "selection": ["selection", "--out", "s.html"],
        "both": ["rewards", "rewards_otherwise", "selection", "--out", "both.html", "--json"],
        "one pair": ["rewards", "--pairs", "1", "--out", "one.html", "--json"],
        "quiet": ["rewards", "--quiet", "--out", "quiet.html"],
        "unverified": ["rewards", "--no-verify", "--no-progress", "--out", "unverified.html"],
        "unfinished": ["unfinished", "--out", "unfinished.html"],
        "overwritten": ["rewards", "--out", "older.html", "--overwrite"],
        "existing": ["nowhere", "--out", "old.html"],
        "picture": ["nowhere", "--out", "fig.png"],
        "inside": ["nowhere", "--out", "empty/../selection/r.html"],
        "missing": ["nowhere", "--out", "a.html"],
        "not sepo's": ["rewards", "empty", "--out", "a.html"],
        "another stage": ["oracle", "--out", "a.html"],
        "begun": ["begun", "--out", "a.html"],
        "tokenizers": ["byte", "word", "--out", "a.html"],
        "nothing in common": ["rewards", "numbered_on", "--out", "a.html"],
        "no directory": ["--out", "a.html"],
        "no file": ["rewards"],
        "no pairs": ["rewards", "--pairs", "0", "--out", "a.html"],
    }
    return run_commands({name: ["report", *arguments] for name, arguments in commands.items()}, folder)


@pytest.mark.parametrize(
    ("name", "file"),
    [("rewards", "r.html"), ("selection", "s.html"), ("unverified", "unverified.html"), ("overwritten", "older.html")],
)
def test_the_answer_is_the_path_and_the_notes_are_on_standard_error(results, folder, name, file):
    code, out, err = results[name]
    assert (code, out) == (0, f"{file}\n")
    assert err.splitlines()[-1].startswith("3 pairs to browse, ")
    text = (folder / file).read_text(encoding="utf-8-sig")
    assert text.lower().startswith("<!doctype html>")
    assert text.rstrip().endswith("</html>")


def test_quiet_prints_the_path_alone(results, folder):
    assert results["quiet"] == (0, "quiet.html\n", "")
    assert (folder / "quiet.html").exists()


def test_json_is_one_object(results, folder):
    code, out, _ = results["both"]
    assert (code, out.count("\n")) == (0, 1)
    found = json.loads(out)
    assert list(found) == ["path", "bytes", "pairs", "shown", "figures", "seconds"]
    assert (found["path"], found["pairs"], found["shown"]) == ("both.html", 3, 3)
    assert found["bytes"] == (folder / "both.html").stat().st_size
    assert found["seconds"] > 0


def test_a_sample_of_the_pairs_is_said_to_be_one(results):
    code, out, err = results["one pair"]
    found = json.loads(out)
    assert (code, found["pairs"], found["shown"]) == (0, 3, 1)
    assert err.splitlines()[-1].startswith("1 of 3 pairs to browse, ")


def test_an_unfinished_directory_is_reported_as_far_as_it_is(results, folder):
    code, out, err = results["unfinished"]
    assert (code, out) == (0, "unfinished.html\n")
    assert err.splitlines()[0] == "unfinished is unfinished: 1 pairs so far"
    assert err.splitlines()[-1].startswith("1 pair to browse, ")
    assert "unfinished" in (folder / "unfinished.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("existing", (3, "old.html exists", "choose another --out, or replace it with --overwrite")),
        ("picture", (1, "fig.png: no format has the suffix '.png'", "end it in .html")),
        ("missing", (1, "nowhere does not exist", STAGES)),
        ("not sepo's", (1, "empty is not a stage directory: it has no sepo.json", STAGES)),
        ("begun", (1, "begun has no finished shard yet", "run the same `sepo score` again to resume it")),
        (
            "tokenizers",
            (1, f"{DIFFERENT}: byte of byte, word of word", "give directories of one tokenizer, or look at each alone"),
        ),
        ("nothing in common", (1, "rewards and numbered_on share no pair", SAME_DATA)),
    ],
)
def test_a_mistake_says_what_to_type(results, folder, name, expected):
    code, message, hint = expected
    assert results[name] == (code, "", f"Error: {message}\nHint: {hint}\n")
    assert not (folder / "a.html").exists()
    assert (folder / "old.html").read_text() == "years of work"


def test_another_stage_is_named(results):
    code, out, err = results["another stage"]
    assert (code, out) == (1, "")
    assert err.startswith("Error: oracle ")
    assert "oracle" in err.splitlines()[0].removeprefix("Error: oracle ")
    assert err.splitlines()[1].startswith("Hint: ")


def test_a_file_inside_a_stage_directory_is_refused(results):
    code, out, err = results["inside"]
    assert (code, out) == (3, "")
    assert "a stage directory\nHint: choose another --out\n" in err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no directory", "Missing argument 'DIR'."),
        ("no file", "Missing option '--out'."),
        ("no pairs", "Invalid value for '--pairs': Input should be greater than or equal to 1"),
    ],
)
def test_usage(results, name, message):
    code, out, err = results[name]
    assert (code, out, err.splitlines()[-1]) == (2, "", f"Error: {message}")


def test_a_missing_extra_is_named_before_anything_is_read(sepo, folder, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['altair'] = None", encoding="utf-8")
    done = sepo("report", folder / "nowhere", "--out", tmp_path / "r.html", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert "altair, which is not installed\nHint: pip install 'sepo[report]'\n" in done.stderr
    assert not (tmp_path / "r.html").exists()


STOP = """
import os
from sepo_data.report.source import Source
frames = Source.frames
def stopping(self, columns):
    for number, frame in enumerate(frames(self, columns)):
        if number:
            os.kill(os.getpid(), {number})
        yield frame
Source.frames = stopping
"""


@pytest.mark.parametrize(
    ("number", "note"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated"), (signal.SIGKILL, "")]
)
def test_a_killed_run_leaves_no_half_file_and_the_next_one_no_leftover(sepo, folder, tmp_path, number, note):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "sitecustomize.py").write_text(STOP.format(number=int(number)), encoding="utf-8")
    (tmp_path / "old.html").write_text("years of work")
    command = ("report", folder / "rewards", "--no-progress", "--out", tmp_path / "old.html", "--overwrite")
    done = sepo(*command, PYTHONPATH=str(tmp_path / "code"))
    assert (done.returncode, done.stdout) == (128 + number if note else -number, "")
    assert done.stderr.endswith(f"{note}; no file was written\n" if note else "")
    assert "Traceback" not in done.stderr
    assert (tmp_path / "old.html").read_text() == "years of work"
    if number != signal.SIGKILL:
        assert {file.name for file in tmp_path.iterdir()} == {"code", "old.html"}
    assert sepo(*command).returncode == 0
    assert {file.name for file in tmp_path.iterdir()} == {"code", "old.html"}
    assert (tmp_path / "old.html").read_text(encoding="utf-8-sig").lower().startswith("<!doctype html>")
