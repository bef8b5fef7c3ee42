"""Models in the wrong roles: the hint is the command to paste, with everything else as it was typed."""

from __future__ import annotations

import shlex
import sys

import pytest

from sepo_train.commands.typed_command import typed_command, typed_options


@pytest.mark.parametrize("joined", [False, True])
def test_the_hint_is_the_command_to_paste(pipeline, sepo_server, prefs, tiny_model, tmp_path, *, joined):
    oracle = pipeline["oracle"][0]
    exchanged = [f"--oracle={tiny_model}", f"--ref={oracle}"] if joined else ["--oracle", tiny_model, "--ref", oracle]
    words = ["score", prefs, *exchanged, "--max-skipped", "10%", "--dry-run", "--out", tmp_path / "my rewards"]
    code, answer, talk = sepo_server.run(*words)
    assert (code, answer) == (1, "")
    assert f"--oracle and --ref are exchanged: {oracle} was trained from {tiny_model}" in talk
    [hint] = [line.removeprefix("Hint: sepo ") for line in talk.splitlines() if line.startswith("Hint: ")]
    assert sorted(shlex.split(hint)) == sorted(
        map(str, [*words[:2], *words[-5:], "--oracle", oracle, "--ref", tiny_model])
    )
    assert sepo_server.run(*shlex.split(hint))[0] == 0


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("score d --oracle a --ref b --yes", "sepo score d --oracle x --ref 'y z'"),
        ("score d --oracle=a --ref=b", "sepo score d --oracle x --ref 'y z'"),
        ("score --ref b d --oracle a --out 'o o'", "sepo score d --out 'o o' --oracle x --ref 'y z'"),
        ("score d --oracle --ref --ref b", "sepo score d --oracle x --ref 'y z'"),
        ("--config c.toml score d --refs b", "sepo --config c.toml score d --refs b --oracle x --ref 'y z'"),
        ("score https://user:secret@host/d --ref b", "the same command with --oracle x --ref 'y z'"),
    ],
)
def test_options_are_replaced_and_the_rest_is_kept(monkeypatch, typed, expected):
    monkeypatch.setattr(sys, "argv", ["sepo", *shlex.split(typed)])
    assert typed_command(frozenset({"--yes"}), oracle="x", ref="y z") == expected


def test_a_launcher_starts_the_same_command(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert typed_command(oracle="x") == "the same command with --oracle x"
    assert typed_command() == "the same command and"


def test_options_as_a_person_types_them():
    assert typed_options(max_length=5, chat_template=None, dedupe=True, yes=False, ref="a b") == (
        "--max-length 5 --dedupe --ref 'a b'"
    )
