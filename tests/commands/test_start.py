"""The cost of a call: help and versions import nothing heavy, commands that inspect data need no torch."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest

PROBE = """
import sys, json, contextlib, io
sys.argv = ["sepo", *json.loads(sys.argv[1])]
from sepo_train.entry import load_cli
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    try:
        load_cli().main()
    except SystemExit as exit:
        code = exit.code
imported = {name for name, module in sys.modules.items() if module}
heavy = {"torch", "transformers", "datasets", "polars", "pyarrow", "numpy", "rich", "altair", "vl_convert"}
print(json.dumps([code, sorted(imported & heavy)]))
"""


def _imported(environment: dict[str, str], *arguments: object) -> tuple[int, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps([str(argument) for argument in arguments])],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    code, modules = json.loads(done.stdout)
    return code or 0, set(modules)


MODULES = """
import importlib, json, pkgutil, sys
import sepo_data.commands, sepo_train.commands
from sepo_train.entry import load_cli
import typer.main
names = [
    f"{package.__name__}.{module.name}"
    for package in (sepo_data.commands, sepo_train.commands)
    for module in pkgutil.iter_modules(package.__path__)
]
for name in names:
    importlib.import_module(name)
group = typer.main.get_command(load_cli().app)
print(json.dumps([names, list(group.commands), sorted(sys.modules)]))
"""


def test_no_command_module_imports_anything_heavy(environment):
    done = subprocess.run([sys.executable, "-c", MODULES], env=environment, capture_output=True, text=True, check=True)
    names, commands, imported = json.loads(done.stdout)
    files = {name.rpartition(".")[2] for name in names}
    assert len(files) == len(names)
    assert set(commands) <= files, "a command is a file of its name"
    assert len(commands) == 15
    assert not set(imported) & {"polars", "pyarrow", "numpy", "torch", "transformers", "datasets", "rich"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        [],
        ["score", "--help"],
        ["plot", "--help"],
        ["help", "select"],
        ["selct"],
        ["config"],
    ],
)
def test_help_imports_nothing_heavy(environment, arguments):
    code, modules = _imported(environment, *arguments)
    assert code == (2 if arguments in ([], ["selct"]) else 0)
    assert modules == set()


def test_inspecting_data_needs_no_torch(environment, pipeline, prefs, tiny_model, tmp_path):
    rewards = pipeline["score"][0]
    commands = (
        ["info", rewards],
        ["show", rewards],
        ["select", rewards, "--out", tmp_path / "s"],
        ["report", rewards, "--out", tmp_path / "r.html"],
        ["plot", "distribution", rewards, "--out", tmp_path / "d.svg"],
    )
    for arguments in commands:
        code, modules = _imported(environment, *arguments)
        assert code == 0
        assert not modules & {"torch", "transformers", "datasets"}
    code, modules = _imported(environment, "check", prefs)
    assert (code, modules & {"torch", "transformers", "datasets"}) == (0, set())
    code, modules = _imported(environment, "check", prefs, "--tokenizer", tiny_model)
    assert (code, modules & {"torch", "transformers", "datasets"}) == (0, {"transformers"})


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_is_instant(sepo, argument):
    """In seconds of processor time, which other work on the machine does not lengthen much: 0.15 s on one alone."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert sepo(argument).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5
