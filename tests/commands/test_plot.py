"""`sepo plot`: every kind from the command, its answer, its three files, and the error of each mistake."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from sepo_data.report.figure import FIGURES
from sepo_data.schemas.stages import Stage

PAGE = Path(__file__).resolve().parents[2] / "docs" / "plot.md"
SEPO = Path(sys.executable).with_name("sepo")

DIRECTORIES = {
    Stage.REWARDS: ["rewards", "rewards_otherwise", "third"],
    Stage.SELECTION: ["selection", "half", "other half"],
    Stage.POLICY: ["policy", "later policy", "last policy"],
}
"""Directories by stage, as many as a figure may need."""

KINDS = {
    name: [name, *DIRECTORIES[next(stage for stage in DIRECTORIES if stage in entry.stages)][: entry.least]]
    for name, entry in FIGURES.items()
}
"""A command for each kind of figure, with as few directories as it takes."""

HINT = "give a directory that `sepo score` or `sepo select` wrote"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, selected, trained):
    folder = tmp_path_factory.mktemp("plots")
    for name in ("rewards", "rewards_otherwise", "selection", "half"):
        shutil.copytree(selected.parent / name, folder / name)
    shutil.copytree(folder / "rewards_otherwise", folder / "third")
    shutil.copytree(folder / "half", folder / "other half")
    for name in DIRECTORIES[Stage.POLICY]:
        trained(folder / name)
    trained(folder / "unfinished policy", complete=False)
    trained(folder / "no metrics")
    (folder / "no metrics" / "metrics.jsonl").unlink()
    shutil.copytree(folder / "rewards", folder / "unfinished")
    for name in ("state.json", "dataset_info.json"):
        (folder / "unfinished" / name).unlink()
    shutil.copytree(folder / "rewards", folder / "damaged")
    shard = min((folder / "damaged").glob("*.arrow"))
    shard.write_bytes(shard.read_bytes()[:-8])
    (folder / "old.csv").write_text("years of work")
    return folder


@pytest.fixture(scope="module")
def results(folder, run_commands):
    commands = {name: [*command, "--out", f"{name}.svg"] for name, command in KINDS.items()}
    commands |= {
        "pdf": ["curve", "policy", "--out", "fig.pdf", "--quiet"],
        "png": ["curve", "policy", "--out", "picture.png", "--json"],
        "unfinished policy": ["curve", "unfinished policy", "--out", "so far.svg"],
        "unfinished rewards": ["distribution", "unfinished", "--out", "rewards so far.svg"],
        "not verified": ["curve", "policy", "--out", "unverified.svg", "--no-verify", "--quiet"],
        "unknown": ["acumulation", "rewards", "--out", "a.svg"],
        "too many": ["distribution", "rewards", "half", "--out", "a.svg"],
        "too few": ["agreement", "rewards", "--out", "a.svg"],
        "other stage": ["curve", "rewards", "--out", "a.svg"],
        "other stage, other way": ["distribution", "policy", "--out", "a.svg"],
        "no metrics": ["curve", "no metrics", "--out", "a.svg"],
        "missing": ["distribution", "nowhere", "--out", "a.svg"],
        "damaged": ["distribution", "damaged", "--out", "a.svg"],
        "suffix": ["curve", "policy", "--out", "a.jpg"],
        "exists": ["curve", "policy", "--out", "old.svg"],
        "inside": ["curve", "policy", "--out", "policy/fig.svg"],
        "no out": ["curve", "policy"],
        "no directory": ["curve", "--out", "a.svg"],
    }
    found = run_commands({name: ["plot", *arguments] for name, arguments in commands.items()}, folder)
    assert not list(folder.glob("a.*")), "a mistake writes nothing"
    return found


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_drawn(folder, results, name):
    code, out, err = results[name]
    assert (code, out) == (0, f"{name}.svg\n"), err
    assert err == (folder / f"{name}.txt").read_text(encoding="utf-8"), "the caption is a note"
    assert err.count("\n") == 1
    root = ET.parse(folder / f"{name}.svg").getroot()  # noqa: S314 - our own
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert all(column.isidentifier() and column.islower() for column in head)
    assert rows
    assert {len(row) for row in rows} == {len(head)}


@pytest.mark.parametrize("name", KINDS)
def test_every_column_is_documented(folder, results, name):
    text = PAGE.read_text(encoding="utf-8").partition(f"\n### {name}\n")[2].partition("\n### ")[0]
    head = (folder / f"{name}.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    described = re.findall(r"`(\w+)`", text)
    assert [column for column in head if column not in described] == []


def test_quiet_prints_the_path_alone(folder, results):
    assert results["pdf"] == (0, "fig.pdf\n", "")
    assert (folder / "fig.pdf").read_bytes().startswith(b"%PDF")
    assert results["not verified"] == (0, "unverified.svg\n", "")


def test_json_is_one_object(folder, results):
    code, out, err = results["png"]
    assert (code, err, out.count("\n")) == (0, "", 1)
    answer = json.loads(out)
    assert answer == {
        "kind": "curve",
        "title": "Training curve",
        "caption": (folder / "picture.txt").read_text(encoding="utf-8").rstrip("\n"),
        "rows": len((folder / "picture.csv").read_text(encoding="utf-8").splitlines()) - 1,
        "picture": "picture.png",
        "numbers": "picture.csv",
        "text": "picture.txt",
    }
    assert (folder / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["unfinished policy", "unfinished rewards"])
def test_an_unfinished_directory_is_drawn_so_far(results, name):
    code, _, err = results[name]
    assert code == 0
    assert "unfinished" in err
    assert "so far" in err


@pytest.mark.parametrize(
    ("name", "code", "message", "hint"),
    [
        ("unknown", 1, "there is no figure 'acumulation'", "did you mean accumulation"),
        ("too many", 1, "distribution takes 1 directory, not 2", FIGURES["distribution"].summary),
        ("too few", 1, "agreement takes 2 or more directories, not 1", FIGURES["agreement"].summary),
        ("other stage", 1, "rewards holds rewards, not oracle or policy", "`sepo oracle --help` shows how to make it"),
        ("other stage, other way", 1, "policy holds policy, not rewards", "`sepo score --help` shows how to make it"),
        ("no metrics", 1, "no metrics/metrics.jsonl does not exist", "give a directory that has it"),
        ("missing", 1, "nowhere does not exist", HINT),
        ("damaged", 1, "damaged", ""),
        ("suffix", 1, "a.jpg: no format has the suffix '.jpg'", "end it in .svg, .pdf, .png"),
        ("exists", 3, "old.csv exists", "choose another --out, or replace it with --overwrite"),
        ("inside", 3, "policy/fig.svg is inside", "choose another --out"),
    ],
)
def test_mistake(results, name, code, message, hint):
    found, out, err = results[name]
    assert (found, out) == (code, "")
    first, *_, last = err.splitlines()
    assert first.startswith(f"Error: {message}")
    assert last.startswith(f"Hint: {hint}")


def test_an_unknown_kind_lists_every_one(results):
    assert results["unknown"][2].rstrip().endswith(f"They are: {', '.join(FIGURES)}")


@pytest.mark.parametrize(
    ("name", "message"), [("no out", "Missing option '--out'."), ("no directory", "Missing argument 'DIR...'.")]
)
def test_usage(results, name, message):
    code, out, err = results[name]
    assert (code, out, err.splitlines()[-1]) == (2, "", f"Error: {message}")


def test_help_lists_every_kind_with_its_summary(sepo):
    text = " ".join(sepo("plot", "--help").stdout.partition("\nFigures:\n")[2].split())
    for name, entry in FIGURES.items():
        assert f"{name} {' '.join(entry.summary.split())}" in text


MISSING = """
import sys
sys.modules["altair"] = None
"""


def test_a_missing_extra_is_named(environment, folder, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(MISSING, encoding="utf-8")
    done = subprocess.run(
        [SEPO, "plot", "curve", folder / "policy", "--out", tmp_path / "fig.svg"],
        env=environment | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    message = "Error: figures need altair, which is not installed\nHint: pip install 'sepo[report]'\n"
    assert done.stderr == message
    assert not list(tmp_path.glob("fig.*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_stopped_while_it_draws(environment, folder, tmp_path, number):
    """The old files stay, or each is whole; nothing else is left behind but what a kill leaves until the next run."""
    old = {f"fig.{suffix}": b"old" for suffix in ("svg", "csv", "txt")}
    for name, data in old.items():
        (tmp_path / name).write_bytes(data)
    command = [SEPO, "plot", "curve", folder / "policy", "--out", tmp_path / "fig.svg", "--overwrite"]
    running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    maps = Path(f"/proc/{running.pid}/maps")
    until = time.monotonic() + 60
    while running.poll() is None and "vl_convert" not in maps.read_text():
        time.sleep(0.005)
        assert time.monotonic() < until
    os.kill(running.pid, number)
    out, err = running.communicate(timeout=60)
    assert "Traceback" not in err
    assert running.returncode in {128 + number, -number}, err
    assert out == ""
    assert {file.name: file.read_bytes() for file in tmp_path.glob("fig.???")} == old
    if number != signal.SIGKILL:
        assert err.rstrip().endswith("; the picture was not written")
        assert set(old) == {file.name for file in tmp_path.iterdir()}
