"""Commands that are stopped: by Ctrl-C while they start, by a scheduler, or because nobody reads what they print."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SEPO = Path(sys.executable).with_name("sepo")

INTERRUPT = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
"""


@pytest.mark.parametrize("imported", ["importlib.util", "typer", "sepo_data.commands.config", "polars", "pyarrow"])
def test_an_interrupt_while_modules_are_imported(environment, pipeline, tmp_path, imported):
    (tmp_path / "sitecustomize.py").write_text(INTERRUPT.format(name=imported), encoding="utf-8")
    done = subprocess.run(
        [SEPO, "select", pipeline["score"][0], "--chosen", "50%", "--out", tmp_path / "s"],
        env=environment | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
    assert done.stderr in {"", "interrupted; finished shards are kept, the same command resumes\n"}
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("command", "codes"),
    [
        ("query {} 'SELECT margin FROM pairs' >&-", (0,)),
        ("select {} --out s >&- 2>&- <&-", (0,)),
        ("select {} --out s 2>/dev/full", (0,)),
        ("select {} --out s 2> >(true)", (0,)),
        ("report {} --out r.html >&- 2>&-", (0,)),
        ("plot distribution {} --out d.svg >&- 2>&-", (0,)),
        ("info {} >/dev/full", (1,)),
        ("query {} 'SELECT * FROM pairs' --format json | true", (0, 1)),
        ("diff {0} {0} 2>&1 | true", (0, 1)),
        ("check - <&-", (1,)),
    ],
)
def test_streams_that_are_closed_full_or_unread(environment, pipeline, tmp_path, command, codes):
    line = f"{shlex.quote(str(SEPO))} {command.format(shlex.quote(str(pipeline['score'][0])))}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in codes, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if "select" in command:
        assert (tmp_path / "s" / "state.json").exists()


def test_an_ascii_locale_and_names_in_unicode(environment, pipeline, tmp_path):
    ascii_alone = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    kept = {name: value for name, value in environment.items() if name != "PYTHONIOENCODING"}
    done = subprocess.run(
        [SEPO, "select", pipeline["score"][0], "--out", tmp_path / "Ärger 日本"],
        env=kept | ascii_alone,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path}/Ärger 日本\n".encode()
    assert (tmp_path / "Ärger 日本" / "state.json").exists()


def test_a_name_that_is_not_utf8_is_refused(environment, pipeline, tmp_path):
    command = [SEPO, "select", pipeline["score"][0], "--out", os.fsencode(tmp_path) + b"/\xff"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is not UTF-8" in done.stderr
    assert list(tmp_path.iterdir()) == []


def wait_for(running, text):
    until = time.monotonic() + 100
    while text not in running.stderr:
        time.sleep(0.005)
        assert time.monotonic() < until, running.stderr


def test_a_scheduler_stops_scoring(sepo_server, score_arguments, tmp_path):
    running = sepo_server.start(*score_arguments, "--out", str(tmp_path / "rewards"))
    wait_for(running, " 2/12  shard 1")
    os.kill(running.pid, signal.SIGTERM)
    assert running.wait() == 143
    assert running.stderr.endswith("terminated; finished shards are kept, the same command resumes\n")
    assert list(tmp_path.rglob("*.sepo-tmp")) == []


def test_a_scheduler_stops_training_and_the_printed_command_goes_on(sepo_server, pipeline, tiny_model, tmp_path):
    selection, out = pipeline["select"][0], tmp_path / "a policy"
    command = ["train", selection, "--policy", tiny_model, "--batch-size", "4", "--epochs", "20", "--out", out]
    running = sepo_server.start(*command)
    wait_for(running, "\n  3/")
    os.kill(running.pid, signal.SIGTERM)
    assert running.wait() == 143
    [*_, last] = running.stderr.splitlines()
    assert last.startswith("terminated; step ")
    assert f" is saved in {out}/checkpoints/checkpoint-" in last
    printed = shlex.split(last.partition("go on with: sepo ")[2])
    assert printed == [*map(str, command), "--resume"]

    again = sepo_server.start(*command)
    wait_for(again, "\n  1/")
    os.kill(again.pid, signal.SIGINT)
    assert again.wait() == 130
    assert f"starting over beside {out}/checkpoints/checkpoint-" in again.stderr

    code, _, talk = sepo_server.run(*printed)
    assert code == 0, talk
    assert f"resuming from {out}/checkpoints/checkpoint-" in talk
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert steps == list(range(1, len(steps) + 1))
    assert {".sepo", "checkpoints"}.isdisjoint(file.name for file in out.iterdir())


def test_overwrite_and_resume_contradict_each_other(sepo, pipeline, tiny_model):
    policy = pipeline["train"][0]
    command = ("train", pipeline["select"][0], "--policy", tiny_model, "--out", policy, "--resume", "--overwrite")
    done = sepo(*command, "--yes")
    assert done.returncode == 2
    assert "give one of them" in done.stderr
    assert (policy / "sepo.json").exists()
