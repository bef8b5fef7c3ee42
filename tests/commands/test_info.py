"""`sepo info --verify` and `--no-verify`: exit codes, and what each prints."""

import json
import shutil

import pytest


@pytest.fixture
def damaged(tmp_path, rewards_of, write_rewards, tiny_model):
    """Rewards in three shards, of which the second holds the bytes of the third."""
    tokenizer = (tiny_model / "tokenizer.json").read_text(encoding="utf-8")
    tables = [rewards_of([([1.0, 2.0], [0.5])], first=first) for first in range(3)]
    write_rewards(tmp_path / "rewards", tables, tokenizer=tokenizer)
    shutil.copytree(tmp_path / "rewards", tmp_path / "damaged")
    shutil.copy(*sorted((tmp_path / "damaged").glob("*.arrow"), reverse=True)[:2])
    return tmp_path / "damaged"


@pytest.mark.slow
def test_verify_reads_every_byte_and_fails_where_one_is_wrong(sepo_server, damaged):
    whole = damaged.with_name("rewards")
    code, out, err = sepo_server.run("info", whole, "--verify")
    assert (code, err) == (0, "")
    assert "rewards (complete)" in out
    assert "3 shards" in out.splitlines()[-1]
    code, out, _ = sepo_server.run("info", damaged)
    assert code == 0, "names and sizes are right"
    code, out, err = sepo_server.run("info", damaged, "--verify")
    assert code == 1
    assert "stage        rewards (damaged; the faults are listed below)" in out
    assert "fault        data-00001-of-00003.arrow holds the bytes of data-00002-of-00003.arrow" in out
    assert err == (
        f"Error: {damaged} is damaged: 1 file is not what the manifest says\n"
        "Hint: the command that made the directory makes it again\n"
    )
    code, out, _ = sepo_server.run("info", damaged, "--verify", "--json")
    answer = json.loads(out)
    assert (code, answer["complete"]) == (1, False)
    assert [fault["file"] for fault in answer["faults"]] == ["data-00001-of-00003.arrow"]
    (damaged / "data-00000-of-00003.arrow").unlink()
    code, out, _ = sepo_server.run("info", damaged, "--json")
    assert (code, json.loads(out)["complete"]) == (0, False), "a shard is missing"


@pytest.mark.slow
def test_readers_refuse_the_damage_unless_they_are_asked_not_to_look(sepo_server, damaged, tmp_path):
    for arguments in (
        ["select", damaged, "--out", tmp_path / "selection"],
        ["query", damaged, "SELECT COUNT(*) FROM tokens"],
        ["show", damaged],
        ["report", damaged, "--out", tmp_path / "r.html"],
        ["diff", damaged, damaged.with_name("rewards")],
    ):
        code, out, err = sepo_server.run(*arguments)
        assert (code, out) == (1, ""), err
        assert f"{damaged} is damaged: data-00001-of-00003.arrow holds the bytes of data-00002" in err
        assert f"Hint: `sepo info {damaged} --verify` checks every file" in err
        assert sepo_server.run(*arguments, "--no-verify")[0] == 0
