"""Standard output is the answer and nothing else; standard error has the rest, without control characters."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SEPO = Path(sys.executable).with_name("sepo")


@pytest.mark.parametrize("step", ["oracle", "select", "train"])
def test_answer_is_the_path(pipeline, step):
    out, done = pipeline[step]
    assert done.stdout == f"{out}\n"


def test_json_answer_is_one_object(pipeline):
    out, done = pipeline["score"]
    answer = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert answer["path"] == str(out)
    assert answer["rows"] == 22
    assert answer["shards"] == 12
    assert answer["skipped"] == {"invalid_json": 1, "missing_column": 1}
    assert set(answer) >= {"fingerprint", "seconds", "tokens"}


def test_notes_report_the_decisions_each_shard_and_the_next_command(pipeline):
    out, done = pipeline["score"]
    assert "24 rows, prompt is a list of turns" in done.stderr
    assert " 1/12  shard 0  2 pairs" in done.stderr
    assert "12/12  shard 11  2 pairs" in done.stderr
    assert "22 pairs scored, 2 rows skipped: 1 invalid_json, 1 missing_column" in done.stderr
    assert f"next: sepo select {out} --chosen 30% --rejected 30% --out selection/" in done.stderr


@pytest.mark.parametrize("step", ["oracle", "score", "train"])
def test_libraries_are_not_heard(pipeline, step):
    talk = pipeline[step][1].stderr
    assert "it/s" not in talk
    assert "Warning" not in talk


NOISE = """
import logging, sys, warnings
import sepo_data.analysis.info as info
real = info.read_info
def noisy(folder):
    warnings.warn("noise from a library")
    logging.getLogger("transformers").warning("noise in a log")
    return real(folder)
info.read_info = noisy
"""


def test_warnings_show_only_with_debug(sepo, pipeline, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(NOISE, encoding="utf-8")
    rewards = pipeline["score"][0]
    quiet = sepo("info", rewards, "--json", PYTHONPATH=str(tmp_path))
    loud = sepo("info", rewards, "--json", PYTHONPATH=str(tmp_path), SEPO_DEBUG="1")
    assert json.loads(quiet.stdout) == json.loads(loud.stdout)
    assert quiet.stderr == ""
    assert "noise from a library" in loud.stderr
    assert "noise in a log" in loud.stderr


def test_quiet_prints_nothing(sepo, pipeline, tmp_path):
    done = sepo("select", pipeline["score"][0], "--out", tmp_path / "s", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"PYTHONIOENCODING": "cp1252"}, {"PYTHONIOENCODING": "ascii"}]
)
def test_any_terminal_and_encoding_will_do(sepo, pipeline, tmp_path, variables):
    out = tmp_path / "Ärger-日本"
    selected = sepo("select", pipeline["score"][0], "--out", out, **variables)
    shown = sepo("show", out, "--pair", "1", **variables)
    assert (selected.returncode, shown.returncode) == (0, 0), selected.stderr + shown.stderr
    assert "tokens selected" in shown.stdout


def test_bar_only_on_a_terminal(on_terminal, pipeline, tmp_path):
    rewards = pipeline["score"][0]
    _, talk, answer = on_terminal("stderr", "select", rewards, "--out", tmp_path / "bar", TERM="xterm")
    assert answer == f"{tmp_path / 'bar'}\n"
    assert "12/12" in talk
    assert "\x1b[" in talk
    assert talk.rstrip().endswith("policy/\x1b[?25h") or talk.rstrip().endswith("policy/")
    _, plain, _ = on_terminal("stderr", "select", rewards, "--out", tmp_path / "plain", "--no-progress", TERM="xterm")
    assert "12/12  2 pairs" in plain
    assert "\x1b[" not in plain
    _, dumb, _ = on_terminal("stderr", "select", rewards, "--out", tmp_path / "dumb", TERM="dumb")
    assert "\x1b" not in dumb


def test_closed_pipe_is_no_error(environment, pipeline):
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"'{SEPO}' info '{pipeline['score'][0]}' | head -1"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("stage")
