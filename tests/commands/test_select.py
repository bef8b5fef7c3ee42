"""`sepo select`: every rule and option worked out by hand on three pairs, and the error of each mistake."""

from __future__ import annotations

import json
import math

import pytest

from sepo_data.console.text import did_you_mean
from sepo_data.selection.rule import RULES
from sepo_data.stages.scan import scan

TOP = ("00100 1 1000", "01 100 01")

MASKS = {
    "nothing said": ([], *TOP),
    "share and tokens": (["--chosen", "60%", "--rejected", "2t"], "10110 1 1100", "11 101 11"),
    "fraction": (["--chosen", "0.6"], "10110 1 1100", "01 100 01"),
    "one side in the rule": (["--rule", "top(rejected=100%)"], "00100 1 1000", "11 111 11"),
    "option beside the rule": (["--rule", "top(rejected=100%)", "--chosen", "60%"], "10110 1 1100", "11 111 11"),
    # 4.75 * 0.8 = 3.8 <= 2 + 1 + 1; 4 * 0.8 = 3.2; 1 * 0.8 <= 0.5 + 0.5
    "mass": (["--rule", "mass(80%)"], "00111 1 1111", "11 101 11"),
    # strictly above 0.5 and below -0.5; else the best
    "threshold": (["--rule", "threshold(0.5)"], "00110 1 1111", "01 100 01"),
    # in order: -1 -0.25 0.25 0.5 1 1 1 1 1 2, place floor(0.6 * 9) = 5 is 1; -4 -3 -0.5 -0.5 0 1 4, floor(0.4 * 6) = 2
    "quantile": (["--rule", "threshold(q60%)"], "00100 1 1000", "01 100 01"),
    # 5 of 10: the three best, and of the 1s the earliest; 3 of 7: the three best
    "budget": (["--rule", "budget(50%)"], "00110 1 1100", "01 100 01"),
    "inverse": (["--rule", "inverse"], "00001 1 1000", "10 010 10"),
    "all": (["--rule", "all"], "11111 1 1111", "11 111 11"),
    # every token of the reference model has the same probability
    "confidence": (["--rule", "confidence"], "11111 1 1111", "11 111 11"),
    "ref-gap": (["--rule", "ref-gap"], "00110 1 1000", "01 100 01"),
    # 1.9375 * 0.8 = 1.55 <= 1 + 0.5 + 0.25; 1.875 * 0.8 = 1.5 = 1 + 0.5; 1.75 * 0.8 = 1.4
    "decay": (["--rule", "decay(gamma=0.5)"], "11100 1 1100", "11 110 11"),
    # " day" and " go" are left of the 4 others
    "skip": (["--chosen", "50%", "--skip-tokens", "punctuation"], "10010 1 1000", "01 100 01"),
    "skip twice": (["--skip-tokens", "punctuation, template"], "00010 1 1000", "01 100 01"),
    "protect": (["--protect-tokens", "eos"], "00101 1 1000", "01 100 01"),
    "min tokens": (["--min-tokens", "2"], "00110 1 1100", "11 101 11"),
    "max tokens": (["--chosen", "100%", "--max-tokens", "2"], "00110 1 1100", "01 100 01"),
    "neighbours": (["--neighbours", "1"], "01110 1 1100", "11 110 11"),
    "whole words": (["--whole-words"], "00100 1 1100", "11 110 11"),
    "all at once": (
        ["--skip-tokens", "punctuation", "--neighbours", "1", "--protect-tokens", "eos", "--max-tokens", "1"],
        "00111 1 1100",
        "11 110 11",
    ),
}

SOFTMAX = [3 * math.exp(power) / (math.exp(1) + math.exp(4) + math.exp(2)) for power in (1, 4, 2)]
WEIGHTS = {
    "linear": (
        ["--token-weights", "linear"],
        [[0, 0, 2, 0, 0], [1.125], [1.5, 0, 0, 0]],
        [[0, 2.5], [1.25, 0, 0], [0, 3]],
    ),
    "tis": (
        ["--token-weights", "tis(low=-1, high=1)"],
        [[0, 0, math.e, 0, 0], [math.exp(0.25)], [math.e, 0, 0, 0]],
        [[0, math.e], [math.exp(0.5), 0, 0], [0, math.e]],
    ),
    "softmax": (
        ["--token-weights", "softmax(0.5)", "--chosen", "60%"],
        [[SOFTMAX[0], 0, *SOFTMAX[1:], 0], [1], [1, 1, 0, 0]],
        [[0, 1], [1, 0, 0], [0, 1]],
    ),
}

SHARE = "is not a share: write more than 0% and at most 100%"
AMOUNT = "a share of each response is 30% or 0.3, a number of tokens is 16t"
GRID = 'write --grid "chosen=10%,30% rejected=10%,30%"'

# What is wrong, and what to type instead.
MISTAKES = {
    "unknown rule": (
        ["--rule", "tpo"],
        f"unknown rule 'tpo'; known: {', '.join(RULES)}",
        did_you_mean("tpo", RULES),
    ),
    "no rule": (["--rule", "top(30%"], "'top(30%' is no rule", "write a name, or name(value, key=value)"),
    "unknown argument": (["--rule", "top(shares=30%)"], "top has no 'shares'", "did you mean share?"),
    "too many arguments": (
        ["--rule", "top(30%, 20%)"],
        "'top(30%, 20%)': too many positional arguments",
        "it is top(share=30%, chosen, rejected)",
    ),
    "bare 30 in a rule": (
        ["--rule", "top(30)"],
        "'30' may mean a percentage or a fraction: write 30% or a number up to 1",
        AMOUNT,
    ),
    "tokens for a share": (
        ["--rule", "mass", "--chosen", "16t"],
        "'16 tokens' is not a share: write 30% or 0.3",
        "this rule takes a share, such as 30%",
    ),
    "no such side": (
        ["--rule", "all", "--chosen", "30%"],
        "chosen=30%: the rule all has no argument chosen",
        "it has no arguments",
    ),
    "a side twice": (
        ["--rule", "top(chosen=30%)", "--chosen", "30%"],
        "chosen=30%: the rule top(chosen=30%) has it already",
        "leave one of the two out",
    ),
    "no seed": (["--rule", "random(30%, seed=x)"], "seed=x is not a whole number from 0", "write seed=1"),
    "no quantile": (
        ["--rule", "threshold(q101%)"],
        "above=q101% is neither a number nor a quantile",
        "write above=0.1 or above=q90%",
    ),
    "no spans": (
        ["--rule", "span(decisive)"],
        "the rewards have no column chosen_decisive and rejected_decisive",
        "carry them through with `sepo score --keep-columns chosen_decisive,rejected_decisive`",
    ),
    "a skipped span": (
        ["--rule", "span", "--skip-tokens", "template"],
        "--skip-tokens does not go with the rule span",
        "leave one of the two out",
    ),
    "share of 0% in a grid": (["--grid", "chosen=0%"], f"'0%' {SHARE}", AMOUNT),
    "share of 101% in a grid": (["--grid", "chosen=30%,101%"], f"'101%' {SHARE}", AMOUNT),
    "a grid of nothing": (["--grid", ""], "--grid is empty", GRID),
    "a grid without values": (["--grid", "chosen"], "--grid: 'chosen' cannot be read at this place", GRID),
    "a grid with a hole": (
        ["--grid", "chosen=10%,,30%"],
        "--grid: 'chosen=10%,,30%' cannot be read at this place",
        GRID,
    ),
    "a grid without a name": (["--grid", "=10%"], "--grid: '=10%' cannot be read at this place", GRID),
    "a grid with a name twice": (
        ["--grid", "chosen=10%", "--grid", "chosen=20%"],
        "--grid: 'chosen=20%' cannot be read at this place",
        GRID,
    ),
    "a grid with a value twice": (
        ["--grid", "chosen=10%,10.0%"],
        "--grid has a value twice: chosen=10%,10.0%",
        "write each value once",
    ),
    "a grid of no argument": (
        ["--grid", "chosn=10%"],
        "chosn=10%: the rule top has no argument chosn",
        "did you mean chosen?",
    ),
    "a grid of nothing like an argument": (
        ["--grid", "xyz=10%"],
        "xyz=10%: the rule top has no argument xyz",
        "it has share, chosen, rejected",
    ),
    "a grid of rules": (
        ["--grid", "rule=random,top"],
        "rule=random: the rule top has no argument rule",
        "set the rule with --rule; it has share, chosen, rejected",
    ),
    "unknown kind": (
        ["--skip-tokens", "punct"],
        "--skip-tokens punct: unknown class of tokens",
        "did you mean punctuation?",
    ),
    "unknown kind to protect": (
        ["--protect-tokens", "bos"],
        "--protect-tokens bos: unknown class of tokens",
        "did you mean eos?",
    ),
    "less than the least": (
        ["--min-tokens", "3", "--max-tokens", "2"],
        "min_tokens 3 is above max_tokens 2",
        "raise the one or lower the other",
    ),
    "unknown weights": (
        ["--token-weights", "sofmax"],
        "unknown weights 'sofmax'; known: softmax, tis, linear",
        "did you mean softmax?",
    ),
    "no temperature": (
        ["--token-weights", "softmax(0)"],
        "temperature is 0, below 1e-09",
        "write softmax(temperature=0.1)",
    ),
    "bounds the wrong way round": (
        ["--token-weights", "tis(low=2, high=1)"],
        "low 2 and high 1 are no bounds",
        "write tis(low=-0.5, high=1.5)",
    ),
}

USAGE = {
    "0%": (["--chosen", "0%"], f"Invalid value for '--chosen': '0%' {SHARE}; {AMOUNT}"),
    "101%": (["--rejected", "101%"], f"Invalid value for '--rejected': '101%' {SHARE}; {AMOUNT}"),
    "-3": (["--chosen", "-3"], f"Invalid value for '--chosen': '-3' {SHARE}; {AMOUNT}"),
    "no token": (
        ["--chosen", "0t"],
        "Invalid value for '--chosen': '0t' is no quota: a response keeps at least one token; write 1 token, or 30%",
    ),
    "a grid and a side": (
        ["--grid", "chosen=10%", "--chosen", "30%"],
        "Invalid value: write the quotas in --grid: 'chosen=10%,30% rejected=30%'",
    ),
    "negative neighbours": (
        ["--neighbours", "-1"],
        "Invalid value for '--neighbours': Input should be greater than or equal to 0",
    ),
    "no token at least": (
        ["--min-tokens", "0"],
        "Invalid value for '--min-tokens': Input should be greater than or equal to 1",
    ),
}


def options(folder):
    return json.loads((folder / "sepo.json").read_text(encoding="utf-8"))["options"]


def masks(folder):
    """A word of 1 and 0 for each pair, by side."""
    frame = scan(folder).collect()
    rows = (frame[f"{side}_mask"].to_list() for side in ("chosen", "rejected"))
    return tuple(" ".join("".join(str(int(mark)) for mark in row) for row in side) for side in rows)


@pytest.fixture(scope="module")
def made(scored, run_commands, tmp_path_factory):
    """Every selection of `MASKS` and `WEIGHTS`: its directory and what the command said."""
    folder = tmp_path_factory.mktemp("select")
    commands = {
        name: ["select", scored, *arguments, "--out", folder / name]
        for name, (arguments, *_) in (MASKS | WEIGHTS).items()
    }
    return {name: (folder / name, done) for name, done in run_commands(commands, folder).items()}


@pytest.fixture(scope="module")
def refused(scored, run_commands, tmp_path_factory):
    folder = tmp_path_factory.mktemp("refused")
    commands = {
        name: ["select", scored, *arguments, "--out", "out"] for name, (arguments, *_) in (MISTAKES | USAGE).items()
    }
    results = run_commands(commands, folder)
    assert list(folder.iterdir()) == []
    return results


@pytest.mark.parametrize("name", MASKS)
def test_masks_by_hand(made, name):
    folder, (code, out, err) = made[name]
    assert (code, out) == (0, f"{folder}\n"), err
    assert masks(folder) == MASKS[name][1:]
    assert "chosen_weights" not in scan(folder).collect_schema()


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_by_hand(made, name):
    folder, (code, _, err) = made[name]
    assert code == 0, err
    frame = scan(folder).collect()
    for side, expected in zip(("chosen", "rejected"), WEIGHTS[name][1:], strict=True):
        for row, weights in zip(frame[f"{side}_weights"].to_list(), expected, strict=True):
            assert row == pytest.approx(weights, rel=1e-6)


def test_the_manifest_records_the_options(made):
    assert options(made["share and tokens"][0]) == {"rule": "top", "chosen": "60%", "rejected": "2 tokens"}
    assert options(made["decay"][0]) == {"rule": "decay", "gamma": "0.5", "chosen": "80%", "rejected": "80%"}
    assert {"token_weights": "tis(low=-1.0, high=1.0)"}.items() <= options(made["tis"][0]).items()
    assert options(made["all at once"][0]) == {
        "rule": "top",
        "chosen": "30%",
        "rejected": "30%",
        "skip_tokens": "punctuation",
        "protect_tokens": "eos",
        "max_tokens": 1,
        "neighbours": 1,
    }
    assert options(made["whole words"][0])["whole_words"] is True


def test_random_controls_take_as_many_as_top(scored, run_commands, tmp_path):
    rules = {"first": "random(50%, seed=1)", "again": "random(50%, seed=1)", "other": "random(50%, seed=2)"}
    rules |= {"places": "position-random(50%, seed=1)"}
    run_commands({name: ["select", scored, "--rule", rule, "--out", name] for name, rule in rules.items()}, tmp_path)
    drawn = {name: masks(tmp_path / name) for name in rules}
    assert drawn["first"] == drawn["again"] != drawn["other"]
    for chosen, rejected in drawn.values():
        assert [word.count("1") for word in chosen.split()] == [2, 1, 2]
        assert [word.count("1") for word in rejected.split()] == [1, 1, 1]


def test_a_grid_is_a_directory_for_each_combination(scored, run_commands, tmp_path):
    command = ["select", scored, "--grid", "chosen=30%,60%", "--grid", "rejected=2t"]
    results = run_commands(
        {"grid": [*command, "--out", "g"], "again": [*command, "--out", "g", "--json"]}
        | {"alone": ["select", scored, "--chosen", "60%", "--rejected", "2t", "--out", "alone"]},
        tmp_path,
    )
    names = ["g/chosen-30_rejected-2t", "g/chosen-60_rejected-2t"]
    assert results["grid"][:2] == (0, "".join(f"{name}\n" for name in names))
    assert results["grid"][2].splitlines() == [
        "1/2  2 pairs",
        "2/2  1 pairs",
        f"next: sepo train {names[0]} --policy MODEL --out policy/",
    ]
    assert masks(tmp_path / names[0]) == ("00100 1 1000", "11 101 11")
    for file in (tmp_path / "alone").glob("data-*"):
        assert (tmp_path / names[1] / file.name).read_bytes() == file.read_bytes()
    answer = json.loads(results["again"][1])
    assert [entry["path"] for entry in answer["selections"]] == names
    assert [entry["notes"]["chosen_selected"] for entry in answer["selections"]] == [3, 6]
    assert [f"{name} is complete; nothing to do" in results["again"][2] for name in names] == [True, True]


def test_a_grid_distinguishes_negative_values_from_positive_ones(scored, run_commands, tmp_path):
    command = ["select", scored, "--rule", "threshold", "--grid", "above=0.5,-0.5", "--out", "g"]
    assert run_commands({"": command}, tmp_path)[""][:2] == (0, "g/above-0.5\ng/above--0.5\n")
    assert masks(tmp_path / "g/above-0.5") == ("00110 1 1111", "01 100 01")
    assert masks(tmp_path / "g/above--0.5") == ("11110 1 1111", "01 111 01")


def test_a_grid_is_not_made_inside_a_dataset(scored, run_commands, tmp_path):
    commands = {
        "one": ["select", scored, "--out", "s"],
        "grid": ["select", scored, "--grid", "chosen=10%", "--out", "s"],
    }
    assert run_commands(commands, tmp_path)["grid"] == (
        3,
        "",
        "Error: s is a dataset, --grid makes a directory of several\nHint: choose another --out\n",
    )
    assert not (tmp_path / "s" / "chosen-10").exists()


def test_a_grid_writes_nothing_where_one_of_it_is_refused(scored, run_commands, tmp_path):
    commands = {
        "one": ["select", scored, "--neighbours", "1", "--out", "g/chosen-60"],
        "grid": ["select", scored, "--grid", "chosen=30%,60%", "--out", "g"],
    }
    code, out, err = run_commands(commands, tmp_path)["grid"]
    assert (code, out) == (3, "")
    assert "g/chosen-60 holds another selection run" in err
    assert [path.name for path in (tmp_path / "g").iterdir()] == ["chosen-60"]
    assert options(tmp_path / "g" / "chosen-60")["neighbours"] == 1


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(refused, name):
    _, message, hint = MISTAKES[name]
    code, out, err = refused[name]
    assert (code, out) == (1, "")
    assert err == f"Error: {message}\n" + (f"Hint: {hint}\n" if hint else "")


@pytest.mark.parametrize("name", USAGE)
def test_usage(refused, name):
    code, out, err = refused[name]
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == f"Error: {USAGE[name][1]}"


def test_another_selection_is_refused_naming_the_keys_that_differ(scored, selected, run_commands):
    before = {file: file.read_bytes() for file in selected.rglob("*") if file.is_file()}
    command = ["select", scored, "--chosen", "50%", "--neighbours", "1", "--out", "selection"]
    code, out, err = run_commands({"": command}, scored.parent)[""]
    assert (code, out) == (3, "")
    assert err.splitlines() == [
        "Error: selection holds another selection run; what differs (there -> here):",
        '  options.chosen: "30%" -> "50%"',
        "  options.neighbours: null -> 1",
        "Hint: choose another --out, or replace it with --overwrite",
    ]
    assert {file: file.read_bytes() for file in selected.rglob("*") if file.is_file()} == before


def test_a_kind_given_twice_is_the_same_selection(scored, run_commands, tmp_path):
    results = run_commands(
        {
            "once": ["select", scored, "--skip-tokens", "template,punctuation", "--out", "s"],
            "twice": ["select", scored, "--skip-tokens", "punctuation,template,punctuation", "--out", "s"],
        },
        tmp_path,
    )
    assert results["twice"][:2] == (0, "s\n")
    assert "s is complete; nothing to do" in results["twice"][2]


def test_a_dry_run_answers_for_each_and_writes_nothing(scored, run_commands, tmp_path):
    command = ["select", scored, "--grid", "chosen=30%,60%", "--dry-run", "--out", "g"]
    code, out, _ = run_commands({"": command}, tmp_path)[""]
    assert code == 0
    answers = json.loads(out)["selections"]
    assert [(each["path"], each["dry_run"], each["rows"]) for each in answers] == [
        ("g/chosen-30", True, 3),
        ("g/chosen-60", True, 3),
    ]
    assert list(tmp_path.iterdir()) == []


def test_only_rewards_can_be_selected_from(scored, selected, run_commands):
    results = run_commands(
        {
            "none": ["select", "nowhere", "--out", "s"],
            "selection": ["select", selected.name, "--out", "s"],
            "itself": ["select", scored.name, "--out", scored.name],
        },
        scored.parent,
    )
    assert results["none"] == (
        1,
        "",
        "Error: nowhere does not exist\nHint: give a directory that `sepo score` or `sepo select` wrote\n",
    )
    assert results["selection"] == (
        1,
        "",
        "Error: selection holds selection, not rewards\nHint: `sepo score --help` shows how to make it\n",
    )
    assert results["itself"][:2] == (3, "")
    assert not scored.with_name("s").exists()
