"""Help in groups and words that people read, `sepo help COMMAND`, and the shell's completion."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer.main

from sepo_data.analysis.named_queries import named_queries
from sepo_data.commands.grouped_help import PANELS
from sepo_data.report.figure import FIGURES
from sepo_data.selection.rule import RULES
from sepo_train.entry import load_cli
from sepo_train.training.losses import LOSSES
from tests.fixtures.heavy_imports import WATCH

pytestmark = pytest.mark.unstable_api  # Typer's signatures, panels and completion

COMMANDS = typer.main.get_command(load_cli().app).commands


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_a_group_and_has_a_readable_type(name):
    for option in COMMANDS[name].params:
        assert option.rich_help_panel in PANELS, option.name
        assert option.help
        if option.param_type_name == "argument" or not option.is_flag:
            assert "<" not in option.metavar
            assert option.metavar.split("|")[0]


def test_groups_stand_in_one_order_and_the_environment_on_no_line(sepo):
    done = sepo("score", "--help")
    headings = [line.rstrip(":") for line in done.stdout.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings == ["Input", "Models", "Rewards", "Output", "Run"]
    assert "env var" not in done.stdout + sepo("--help").stdout
    assert "--models-in-memory 1|2" in done.stdout
    assert "--max-skipped SHARE|N" in done.stdout
    assert "Examples:\n    sepo score " in done.stdout
    assert done.stdout.index("Models:") < done.stdout.index("--oracle MODEL") < done.stdout.index("Rewards:")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_command_prints_the_help_of_a_command(sepo, name):
    asked, option = sepo("help", name), sepo(name, "--help")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert asked.stdout == option.stdout
    assert asked.stdout.startswith(f"Usage: sepo {name} ")


def test_help_alone_is_that_of_sepo(sepo):
    assert sepo("help").stdout == sepo("--help").stdout
    unknown = sepo("help", "selct")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "Did you mean 'select'?" in unknown.stderr


def test_rules_and_losses_are_listed_from_their_registries(sepo):
    for command, heading, names in (("select", "Rules:", RULES), ("train", "Losses:", LOSSES)):
        listed = sepo(command, "--help").stdout.partition(f"\n{heading}\n")[2]
        found = [
            line.split()[0].partition("(")[0] for line in listed.splitlines() if line[:2] == "  " and line[2:3] != " "
        ]
        assert [name for name in found if name != "Examples:"] == list(names)


def test_an_unknown_loss_is_refused_with_a_suggestion(sepo):
    done = sepo("train", "s", "--policy", "p", "--out", "o", "--loss", "sipo")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"'sipo' is none of {', '.join(LOSSES)}; did you mean simpo" in " ".join(done.stderr.split())


COMPLETE = f"""{WATCH}
import contextlib, io, json, os
from sepo_train.entry import load_cli

out = []
for words in json.load(sys.stdin):
    os.environ["_SEPO_COMPLETE"] = "complete_bash"
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = " ".join(words), str(len(words) - 1)
    sys.argv = ["sepo"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        load_cli().main()
    out.append(printed.getvalue().split())
print(json.dumps([out, Watch.found]))
"""


def test_completion_knows_rules_losses_queries_figures_and_choices_and_imports_nothing_heavy(environment):
    lines = [
        ["sepo", "sel"],
        ["sepo", "select", "rewards", "--rule", "ma"],
        ["sepo", "train", "selection", "--loss", "s"],
        ["sepo", "query", "rewards", "@"],
        ["sepo", "score", "--backend", ""],
        ["sepo", "help", "in"],
        ["sepo", "plot", "a"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", COMPLETE],
        input=json.dumps(lines),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found, imports = json.loads(done.stdout)
    rules, losses = (
        [name for name in names if name.startswith(begun)] for names, begun in ((RULES, "ma"), (LOSSES, "s"))
    )
    assert "mass" in rules
    assert {"sepo", "simpo"} <= set(losses)
    figures = [name for name in FIGURES if name.startswith("a")]
    assert "accumulation" in figures
    queries = [f"@{name}" for name in named_queries()]
    assert found == [["select"], rules, losses, queries, ["local", "ray"], ["info"], figures]
    assert imports == [], "import it inside the function that needs it"
