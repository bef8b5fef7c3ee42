"""`sepo diff`: two rewards, two selections and one of each, worked out by hand, and the error of each mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SEPO = Path(sys.executable).with_name("sepo")

# Spearman. Chosen, pair 0: 1 - 6 * 2 / (5 * 24) = 0.9; pair 1 has one token; pair 2 has equal rewards in one of them.
# Rejected: pair 0 in reverse, -1; pair 1, ranks 1.5 3 1.5 and 2 3 1, 0.866; pair 2, 1. Their mean is 0.288675.
CORRELATIONS = [
    ["chosen", "1", "0.9"],
    ["rejected", "3", "0.288675"],
    ["together", "4", "0.441506"],
]
# One of each response, and of chosen: pair 0 differs, pair 1 has one token, pair 2 is first against last. By chance
# 1/5 + 1 + 1/4 = 1.45 of 6 - 1.45. Rejected: both, -0.5 first against -1.5 last, none; 1/2 + 1/3 + 1/2 of 6.
AT_30 = [
    ["30%", "chosen", "3", "3", "1", "0.2", "0.318681"],
    ["30%", "rejected", "3", "3", "1", "0.2", "0.285714"],
    ["30%", "together", "6", "6", "2", "0.2", "0.301989"],
]
# The first selection is at 30%; of the second, chosen at 50%: 2, 1 and 2 tokens, of which 2.0 and 0.25 are in both.
STORED = [
    ["stored", "chosen", "3", "5", "2", "0.333333", "0.311475"],
    ["stored", "rejected", "3", "3", "1", "0.2", "0.285714"],
    ["stored", "together", "6", "8", "3", "0.272727", "0.30031"],
]
HINT = "give a directory that `sepo score` or `sepo select` wrote"


@pytest.fixture(scope="module")
def folder(selected, rewards_of, write_rewards, texts):
    """Rewards and selections beside directories that share no pair with them, or have other tokens."""
    folder = selected.parent
    write_rewards(folder / "numbered_on", [rewards_of([([1.0], [1.0])], first=7)], tokenizer=texts)
    write_rewards(folder / "longer", [rewards_of([([1.0] * 6, [1.0])])], tokenizer=texts)
    (folder / "empty").mkdir()
    return folder


@pytest.fixture(scope="module")
def results(folder, run_commands):
    commands = {
        "rewards": ["rewards", "rewards_otherwise"],
        "selections": ["selection", "half"],
        "mixed": ["selection", "rewards_otherwise"],
        "mixed the other way round": ["rewards", "half"],
        "json": ["selection", "half", "--json"],
        "json of rewards": ["rewards", "rewards_otherwise", "--show-pairs", "1", "--json"],
        "itself": ["rewards", "rewards", "--json"],
        "two pairs": ["rewards", "rewards_otherwise", "--show-pairs", "2"],
        "no pairs": ["rewards", "rewards_otherwise", "--show-pairs", "0"],
        "nothing in common": ["rewards", "numbered_on"],
        "other tokens": ["rewards", "longer"],
        "missing": ["rewards", "nowhere"],
        "missing first": ["nowhere", "rewards"],
        "not sepo's": ["empty", "rewards"],
        "one directory": ["rewards"],
        "fewer than no pairs": ["rewards", "rewards", "--show-pairs", "-1"],
    }
    return run_commands({name: ["diff", *arguments] for name, arguments in commands.items()}, folder)


def section(text, title):
    """The cells of the rows under a title, without the head."""
    lines = text.splitlines()
    start = lines.index(title) + 3
    end = lines.index("", start) if "" in lines[start:] else len(lines)
    return [line.split() for line in lines[start:end]]


@pytest.mark.parametrize("name", ["rewards", "selections", "mixed", "mixed the other way round"])
def test_report_by_hand(results, name):
    code, out, err = results[name]
    assert (code, err) == (0, "")
    assert out.startswith("3 pairs in both, 0 only in the first, 0 only in the second\n\n")
    title = "Rank correlation of the rewards within a response (Spearman, mean over responses)"
    assert section(out, title) == CORRELATIONS
    overlaps = section(out, "Overlap of the selected tokens")
    assert [row for row in overlaps if row[0] == "30%"] == AT_30
    shares = ["10%", "20%", "30%", "50%", *(["stored"] if name == "selections" else [])]
    assert [row[0] for row in overlaps[::3]] == shares
    assert overlaps[12:] == (STORED if name == "selections" else [])


def test_pairs_that_differ_most_come_first(results):
    title = "Pairs that differ most"
    # None of 4 in both; one of 3 where either the chosen or the rejected token is the same.
    assert section(results["rewards"][1], title) == [
        ["0000000000000000", "0", "0", "-0.05", "4.25", "4.25"],
        ["0000000000000001", "1", "0.333333", "0.866025", "1.25", "2.5"],
        ["0000000000000002", "2", "0.333333", "1", "4", "10"],
    ]
    assert [row[1] for row in section(results["two pairs"][1], title)] == ["0", "1"]
    assert title not in results["no pairs"][1]
    # By the stored masks: of pair 0 one of 2 + 1 and none of 1 + 1 more are in both.
    assert section(results["selections"][1], title)[0][1:3] == ["0", "0.25"]


def test_json_is_one_object_with_the_same_numbers(results):
    code, out, err = results["json"]
    assert (code, err, out.count("\n")) == (0, "", 1)
    found = json.loads(out)
    assert list(found) == ["pairs", "only_a", "only_b", "correlations", "overlaps", "differing"]
    assert (found["pairs"], found["only_a"], found["only_b"]) == (3, 0, 0)
    assert found["correlations"][0] == {"side": "chosen", "responses": 1, "mean": pytest.approx(0.9)}
    assert found["overlaps"][-1] == {
        "share": "stored",
        "side": "together",
        "selected_a": 6,
        "selected_b": 8,
        "in_both": 3,
        "jaccard": pytest.approx(3 / 11),
        "chance": pytest.approx(0.30031, abs=1e-6),
    }
    assert [pair["source_row"] for pair in found["differing"]] == [0, 2, 1]
    of_rewards = json.loads(results["json of rewards"][1])
    assert {row["share"] for row in of_rewards["overlaps"]} == {"10%", "20%", "30%", "50%"}
    assert of_rewards["differing"] == [
        {
            "pair_id": "0000000000000000",
            "source_row": 0,
            "jaccard": 0.0,
            "correlation": pytest.approx(-0.05),
            "margin_a": 4.25,
            "margin_b": 4.25,
        }
    ]


def test_a_directory_is_like_itself(results):
    found = json.loads(results["itself"][1])
    assert [row["mean"] for row in found["correlations"]] == pytest.approx([1, 1, 1])
    assert {row["jaccard"] for row in found["overlaps"]} == {1.0}


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        (
            "nothing in common",
            "rewards and numbered_on share no pair",
            "compare directories that were scored from the same data",
        ),
        (
            "other tokens",
            "pair 0000000000000000 has other chosen tokens in the two directories, so their rewards cannot be compared",
            "score both with the same tokenizer, chat template and truncation",
        ),
        ("missing", "nowhere does not exist", HINT),
        ("missing first", "nowhere does not exist", HINT),
        ("not sepo's", "empty is not a stage directory: it has no sepo.json", HINT),
    ],
)
def test_mistake(results, name, message, hint):
    assert results[name] == (1, "", f"Error: {message}\nHint: {hint}\n")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("one directory", "Missing argument 'B'."),
        ("fewer than no pairs", "Invalid value for '--show-pairs': Input should be greater than or equal to 0"),
    ],
)
def test_usage(results, name, message):
    code, out, err = results[name]
    assert (code, out, err.splitlines()[-1]) == (2, "", f"Error: {message}")


def test_closed_pipe_is_no_error(environment, folder):
    done = subprocess.run(
        ["bash", "-c", f"'{SEPO}' diff rewards rewards_otherwise | head -1"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("3 pairs in both, 0 only in the first, 0 only in the second\n", "")
