"""The exit codes that `sepo --help` documents, one by one, and an interrupted run that resumes."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def _bytes(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.glob("data-*.arrow"))}


def test_0_also_when_there_is_nothing_left_to_do(sepo, pipeline, score_arguments):
    rewards, _ = pipeline["score"]
    before = {file: file.stat().st_mtime_ns for file in rewards.rglob("*")}
    done = sepo(*score_arguments, "--out", rewards)
    assert (done.returncode, done.stdout) == (0, f"{rewards}\n")
    assert "is complete (12 of 12 shards); nothing to do" in done.stderr
    assert {file: file.stat().st_mtime_ns for file in rewards.rglob("*")} == before


def test_1_for_what_the_user_can_fix(sepo):
    done = sepo("info", "no-such-folder")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: no-such-folder does not exist\nHint: ")


def test_2_for_usage(sepo):
    done = sepo("select", "rewards", "--chosn", "30%")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such option: --chosn" in done.stderr
    assert "--chosen" in done.stderr


def test_3_for_another_plan_which_touches_nothing(sepo, pipeline):
    selection, _ = pipeline["select"]
    before = {file: file.stat().st_mtime_ns for file in selection.rglob("*")}
    done = sepo("select", pipeline["score"][0], "--chosen", "50%", "--out", selection)
    assert (done.returncode, done.stdout) == (3, "")
    assert 'options.chosen: "30%" -> "50%"' in done.stderr
    assert "--overwrite" in done.stderr
    assert {file: file.stat().st_mtime_ns for file in selection.rglob("*")} == before


def test_3_for_overwrite_without_yes_where_nobody_can_be_asked(sepo, pipeline, tmp_path):
    rewards, _ = pipeline["score"]
    sepo("select", rewards, "--out", tmp_path / "s")
    command = ("select", rewards, "--chosen", "50%", "--out", tmp_path / "s", "--overwrite")
    refused = sepo(*command)
    assert refused.returncode == 3
    assert "--yes" in refused.stderr
    assert '"chosen": "30%"' in (tmp_path / "s" / "sepo.json").read_text(encoding="utf-8")
    assert sepo(*command, "--yes").returncode == 0
    assert '"chosen": "50%"' in (tmp_path / "s" / "sepo.json").read_text(encoding="utf-8")


def test_3_for_overwriting_what_is_read(sepo, pipeline, tmp_path):
    rewards = tmp_path / "rewards"
    sepo("select", pipeline["score"][0], "--out", tmp_path / "s")
    rewards.symlink_to(pipeline["score"][0])
    done = sepo("select", rewards, "--out", pipeline["score"][0], "--overwrite", "--yes")
    assert done.returncode == 3
    assert _bytes(rewards)


def test_4_for_the_hub(sepo, pipeline, tmp_path):
    done = sepo("train", pipeline["select"][0], "--policy", "nobody/no-such-model", "--out", tmp_path / "p")
    assert (done.returncode, done.stdout) == (4, "")
    assert "nobody/no-such-model" in done.stderr
    assert "HF_HUB_OFFLINE is set" in done.stderr
    assert not (tmp_path / "p").exists()


def test_70_for_a_bug_with_traceback_and_what_a_report_needs(sepo, pipeline, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sepo_data.analysis.info as i; i.read_info = None", encoding="utf-8"
    )
    done = sepo("info", pipeline["score"][0], PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (70, "")
    assert "TypeError: 'NoneType' object is not callable" in done.stderr
    assert "lines above, from Traceback" in done.stderr
    assert "`sepo env` prints" in done.stderr.splitlines()[-1]
    assert "://" not in done.stderr, "no address that does not exist"


def test_130_for_an_interrupt_and_the_same_command_resumes(sepo_server, sepo, pipeline, score_arguments, tmp_path):
    out = tmp_path / "rewards"
    command = [*score_arguments, "--out", str(out)]
    process = sepo_server.start(*command)
    until = time.monotonic() + 100
    while not (out / ".sepo" / "00002.json").exists():
        time.sleep(0.005)
        assert time.monotonic() < until, process.stderr
    os.kill(process.pid, signal.SIGINT)
    assert process.wait() == 130
    talk = process.stderr
    assert "interrupted; finished shards are kept, the same command resumes" in talk
    assert "Traceback" not in talk

    looked = json.loads(sepo("info", out, "--json").stdout)
    assert not looked["complete"]
    assert 3 <= looked["shards"] < 12
    incomplete = sepo("select", out, "--out", tmp_path / "s")
    assert incomplete.returncode == 1
    assert "is incomplete" in incomplete.stderr

    code, _, talk = sepo_server.run(*command)
    assert code == 0
    assert "resuming: " in talk
    assert _bytes(out) == _bytes(pipeline["score"][0])
