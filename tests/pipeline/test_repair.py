"""Repair by the same command: killed in the middle, by two processes at once, of several selections."""

import re
import shutil
import signal

import pytest

from tests.fixtures.damage import OF_FILES, cut, flip, lose, lose_shards
from tests.pipeline.test_never_lost import KILL, data

pytestmark = pytest.mark.slow

MOMENTS = [
    ("during", "00000.json", []),
    ("after", "00004.json", []),
    ("before", data(1), [1]),
    ("during", data(1), [1]),
    ("after", data(1), [1]),
    ("after", "00001.json", []),  # the file is there, and has the hash that it had
    ("during", "00005.json", [5]),
    ("after", "00005.json", []),
    ("after", "skipped.jsonl", []),
    ("after", "sepo.json", []),
    ("during", "state.json", []),
    ("before", ".sepo", []),
]
"""Kills one after the other in one directory: when, at which file, and the shards that are worked on until then."""


def scored(talk):
    return list(map(int, re.findall(r"shard (\d)  ", talk)))


def test_a_repair_that_is_killed_at_any_moment_goes_on(sepo_server, score_six, six_shards, everything, tmp_path):
    out, log = shutil.copytree(six_shards, tmp_path / "rewards"), tmp_path / "log"
    flip(out)
    lose_shards(5)(out)
    lose("tokenizer")(out)
    kept = {data(index): (out / data(index)).stat().st_mtime_ns for index in (0, 2, 3, 4)}
    for moment, name, expected in MOMENTS:
        log.write_text("")
        code, answer, talk = sepo_server.run(
            *score_six, "--out", out, before=KILL.format(moment=moment, name=name, log=str(log))
        )
        assert (code, answer) == (-signal.SIGKILL, ""), (moment, name, talk)
        worked_on = re.findall(r"before data-(\d+)", log.read_text())
        assert list(map(int, worked_on)) == expected, (moment, name)
    code, answer, talk = sepo_server.run(*score_six, "--out", out)
    assert (code, answer) == (0, f"{out}\n")
    assert "is complete (6 of 6 shards); nothing to do" in talk
    assert everything(out) == everything(six_shards)
    assert {file: (out / file).stat().st_mtime_ns for file in kept} == kept, "what was whole is never written again"


def test_two_processes_repair_together(sepo_server, score_six, six_shards, everything, tmp_path):
    out = shutil.copytree(six_shards, tmp_path / "rewards")
    lose_shards(0, 2, 4, 5)(out)
    flip(out)  # the second of the two that are left
    running = [sepo_server.start(*score_six, "--out", out) for _ in range(2)]
    assert [each.wait() for each in running] == [0, 0]
    assert sorted(scored(running[0].stderr) + scored(running[1].stderr)) == [0, 2, 3, 4, 5], "each once"
    assert everything(out) == everything(six_shards)


def test_one_lost_shard_of_rewards_and_of_selections(sepo_server, score_six, six_shards, everything, tmp_path):
    rewards = shutil.copytree(six_shards, tmp_path / "rewards")
    command = ["select", rewards, "--rule", "top", "--grid", "chosen=20%,40%", "--out", tmp_path / "grid"]
    assert sepo_server.run(*command)[0] == 0
    whole = shutil.copytree(tmp_path / "grid", tmp_path / "whole")
    first, second = sorted(file.name for file in whole.iterdir())
    cut(rewards)
    code, _, talk = sepo_server.run(*command)
    assert code == 1, "nothing is made of damaged rewards"
    assert "sepo score" in talk
    assert "--overwrite" not in talk
    code, answer, talk = sepo_server.run(*score_six, "--out", rewards)
    assert (code, answer, scored(talk)) == (0, f"{rewards}\n", [1])
    assert f"repairing {rewards}: {data(1)} is cut" in talk
    assert everything(rewards) == everything(six_shards)

    lose_shards(3)(tmp_path / "grid" / first)
    OF_FILES["no tokenizer"](tmp_path / "grid" / second)
    running = [sepo_server.start(*command) for _ in range(2)]
    assert [each.wait() for each in running] == [0, 0]
    assert everything(tmp_path / "grid" / first) == everything(whole / first)
    assert everything(tmp_path / "grid" / second) == everything(whole / second)
    code, _, talk = sepo_server.run(*command)
    assert (code, talk.count("is complete; nothing to do")) == (0, 2)


@pytest.fixture(scope="module")
def commands(pipeline, prefs, tiny_model):
    """Each command with the inputs that it takes, without --out."""
    folders = {name: folder for name, (folder, _) in pipeline.items()}
    return folders, {
        "oracle": ["oracle", prefs, "--ref", tiny_model],
        "score": ["score", prefs, "--oracle", tiny_model, "--ref", tiny_model],
        "select": ["select", folders["score"]],
        "grid": ["select", folders["score"], "--grid", "chosen=10%,20%"],
        "train": ["train", folders["select"], "--policy", tiny_model],
        "evaluate": ["evaluate", tiny_model, "--data", prefs],
    }


@pytest.mark.parametrize(
    ("command", "there"),
    [
        ("train", "score"),
        ("train", "oracle"),
        ("score", "select"),
        ("select", "train"),
        ("grid", "select"),
        ("oracle", "train"),
        ("evaluate", "score"),
    ],
)
def test_a_typo_in_out_deletes_nothing(commands, sepo_server, *, command, there):
    folders, lines = commands
    before = {file: file.read_bytes() for file in folders[there].rglob("*") if file.is_file()}
    code, answer, talk = sepo_server.run(*lines[command], "--out", folders[there], "--overwrite", "--yes")
    assert (code, answer) == (3, "")
    assert f"Error: {folders[there]} " in talk
    assert {file: file.read_bytes() for file in folders[there].rglob("*") if file.is_file()} == before
