"""Every printed `next:` line is pasted, from check to evaluate: nothing that was decided gets lost on the way."""

from __future__ import annotations

import json
import shlex

import pytest

from sepo_data.stages.directory import read_manifest
from tests.conftest import CHATML

DATED = "{{ strftime_now('%d %B %Y') }}\n" + CHATML
READING = ["--limit", "20", "--dedupe", "--holdout", "20%", "--columns", "prompt=question"]
DECIDED = {"max_length": 101, "truncate": "prompt", "template_date": "2024-07-26"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, examples):
    """A dataset with a column of another name and a chat template, in a folder whose name has a space."""
    folder = tmp_path_factory.mktemp("next") / "my data"
    folder.mkdir()
    rows = [json.loads(line) for line in examples.read_text(encoding="utf-8").splitlines()[:24]]
    renamed = [{("question" if name == "prompt" else name): value for name, value in row.items()} for row in rows]
    text = "".join(json.dumps(row) + "\n" for row in renamed)
    (folder / "pairs.jsonl").write_text(text, encoding="utf-8")
    (folder / "dated.jinja").write_text(DATED, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def pasted(folder, sepo_server, tiny_model):
    """Each command as its words and what it printed; the first as typed, the others as the one before printed them."""
    template = ["--chat-template", folder / "dated.jinja", "--template-date", DECIDED["template_date"]]
    length = ["--max-length", DECIDED["max_length"]]
    words = ["check", folder / "pairs.jsonl", *READING, "--tokenizer", tiny_model, *length, *template]
    # What a person adds by hand to the pasted line.
    added = {
        "oracle": ["--beta", "0.5", "--truncate", "prompt", "--seed", "7", "--lr", "1e-3", "--batch-size", "8"],
        "train": ["--lr", "1e-3", "--batch-size", "8"],
        "evaluate": ["--kl-samples", "2", "--json"],
    }
    runs = {}
    while words:
        command = str(words[0])
        code, answer, talk = sepo_server.run(*words, *added.get(command, ()))
        assert code == 0, talk
        runs[command] = (list(map(str, words)), answer, talk)
        lines = [line for line in talk.splitlines() if line.startswith("next: sepo ")]
        words = shlex.split(lines[-1].removeprefix("next: sepo ")) if lines else []
        words = [str(tiny_model) if word == "MODEL" else word for word in words]
        if "--out" in words:
            words[-1] = str(folder / words[-1])  # each command runs in a folder of its own
    return runs


def test_the_lines_lead_through_all_commands(pasted):
    assert list(pasted) == ["check", "oracle", "score", "select", "train", "evaluate"]


@pytest.mark.parametrize("stage", ["oracle", "score"])
def test_data_are_read_as_before(pasted, stage):
    words = pasted[stage][0]
    for option, value in zip(READING[::2], READING[1::2], strict=False):
        assert option in words, value
    assert "--seed" not in words, "the seed of training is none of reading"


def test_the_settings_of_all_stages_agree(pasted, folder):
    oracle, rewards, selection, policy = (
        read_manifest(folder / name) for name in ("oracle", "rewards", "selection", "policy")
    )
    assert {name: oracle.options[name] for name in DECIDED} == DECIDED
    for name in (*DECIDED, "beta", "columns", "dedupe", "holdout", "limit"):
        assert rewards.options[name] == oracle.options[name], name
    assert rewards.options["beta"] == 0.5
    assert "differs_from_oracle" not in rewards.results
    templates = {manifest.tokenizer.chat_template for manifest in (oracle, rewards, selection, policy)}
    assert len(templates) == 1
    assert not [line for _, _, talk in pasted.values() for line in talk.splitlines() if line.startswith("warning")]
    found = json.loads(pasted["evaluate"][1])
    assert found["data"]["which"] == "those whose column split says holdout"


def test_seeds_are_carried_where_they_mean_the_same(folder, sepo_server, tiny_model):
    shuffled = ["--columns", "prompt=question", "--shuffle", "--limit", "4", "--seed", "3"]
    _, _, talk = sepo_server.run("check", folder / "pairs.jsonl", *shuffled)
    [line] = [line for line in talk.splitlines() if line.startswith("next: ")]
    assert "--shuffle --seed 3" in line
    assert "--ref MODEL" in line
