"""Single files that a command writes: format by suffix, the same refusals everywhere, replaced only when asked."""

import csv
import xml.etree.ElementTree as ET

import pytest

COMMANDS = {
    "query": (["query", "rewards", "SELECT 1 AS a", "--out"], ".csv"),
    "show": (["show", "rewards", "--svg"], ".svg"),
    "report": (["report", "rewards", "--out"], ".html"),
}
"""Commands that write a file, without its name, and a suffix that each can write."""


@pytest.fixture(scope="module")
def results(selected, run_commands, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "rewards").symlink_to(selected.parent / "rewards")
    commands = {}
    for name, (command, suffix) in COMMANDS.items():
        (folder / f"old{suffix}").write_text("years of work")
        outs = {
            "png": "fig.png",
            "none": "fig",
            "new": f"new{suffix}",
            "capitals": f"new{suffix.upper()}",
            "old": f"old{suffix}",
            "inside": f"rewards/new{suffix}",
            "nowhere": f"nowhere/new{suffix}",
        }
        commands |= {f"{name} {what}": [*command, out] for what, out in outs.items()}
        commands[f"{name} folder"] = [*command, f"folder{suffix}"]
        (folder / f"folder{suffix}").mkdir()
    results = run_commands(commands, folder)
    assert {(folder / f"old{suffix}").read_text() for _, suffix in COMMANDS.values()} == {"years of work"}
    overwritten = {f"{name} overwritten": [*commands[f"{name} old"], "--overwrite"] for name in COMMANDS}
    return folder, results | run_commands(overwritten, folder)


@pytest.mark.parametrize("name", COMMANDS)
def test_refusals_are_worded_alike(results, name):
    folder, answers = results
    command, suffix = COMMANDS[name]
    option = command[-1]
    another = f"Hint: choose another {option}"
    formats = ".jsonl, .txt, .table, .ndjson, .json, .csv, .parquet or give --format" if name == "query" else suffix
    inside = (folder / "rewards").resolve()
    expected = {
        "png": (1, f"Error: fig.png: no format has the suffix '.png'\nHint: end it in {formats}\n"),
        "none": (1, f"Error: fig: no format has the suffix ''\nHint: end it in {formats}\n"),
        "old": (3, f"Error: old{suffix} exists\n{another}, or replace it with --overwrite\n"),
        "folder": (3, f"Error: folder{suffix} is not a file\n{another}\n"),
        "inside": (3, f"Error: rewards/new{suffix} is inside {inside}, a stage directory\n{another}\n"),
        "nowhere": (1, f"Error: nowhere is no directory\nHint: make it first, or choose another {option}\n"),
    }
    assert {what: answers[f"{name} {what}"] for what in expected} == {
        what: (code, "", text) for what, (code, text) in expected.items()
    }
    assert not (folder / "fig.png").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_files_that_may_be_written_are(results, name):
    folder, answers = results
    suffix = COMMANDS[name][1]
    assert [answers[f"{name} {what}"][0] for what in ("new", "capitals", "overwritten")] == [0, 0, 0]
    written = [folder / file for file in (f"new{suffix}", f"new{suffix.upper()}", f"old{suffix}")]
    if name == "query":
        assert {file.read_text() for file in written} == {"a\n1\n"}
    elif name == "report":
        assert {file.read_text(encoding="utf-8-sig")[:15].lower() for file in written} == {"<!doctype html>"}
    else:
        roots = [ET.fromstring(file.read_text(encoding="utf-8")) for file in written]  # noqa: S314 - our own
        assert {root.tag for root in roots} == {"{http://www.w3.org/2000/svg}svg"}


def test_a_format_that_contradicts_the_suffix_is_refused(selected, run_commands, tmp_path):
    command = ["query", "rewards", "SELECT 1 AS a", "--format", "csv", "--out", tmp_path / "a.parquet"]
    code, out, err = run_commands({"": command}, selected.parent)[""]
    assert (code, out) == (1, "")
    message = f"Error: {tmp_path / 'a.parquet'} ends as parquet does, and --format is csv"
    assert err == f"{message}\nHint: leave one of the two out\n"
    assert list(tmp_path.iterdir()) == []


def test_safe_csv(selected, run_commands, tmp_path):
    formula = "SELECT '=1+1' AS \"=sum\", '-a' AS text, -1.5 AS number"
    commands = {
        "pipe": ["query", "rewards", formula, "--format", "csv", "--csv-safe"],
        "file": ["query", "rewards", formula, "--csv-safe", "--out", tmp_path / "a.csv"],
        "exact": ["query", "rewards", formula, "--format", "csv"],
        "ndjson": ["query", "rewards", formula, "--csv-safe"],
    }
    results = run_commands(commands, selected.parent)
    safe = [["'=sum", "text", "number"], ["'=1+1", "'-a", "-1.5"]]
    assert list(csv.reader(results["pipe"][1].splitlines())) == safe
    assert list(csv.reader((tmp_path / "a.csv").read_text().splitlines())) == safe
    assert list(csv.reader(results["exact"][1].splitlines())) == [["=sum", "text", "number"], ["=1+1", "-a", "-1.5"]]
    code, out, err = results["ndjson"]
    assert (code, out) == (2, "")
    assert err.endswith("Error: Invalid value for --csv-safe: only CSV has formulas: add --format csv\n")
