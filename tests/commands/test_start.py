"""What every call costs: help and versions import nothing heavy, looking at data needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

PROBE = """
import sys, json, contextlib, io
sys.argv = ["sepo", *json.loads(sys.argv[1])]
import cli
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    try:
        cli.main()
    except SystemExit as exit:
        code = exit.code
imported = {name for name, module in sys.modules.items() if module}
print(json.dumps([code, sorted(imported & {"torch", "transformers", "datasets", "polars", "pyarrow", "rich"})]))
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


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], [], ["score", "--help"], ["selct"], ["config"]])
def test_help_imports_nothing_heavy(environment, arguments):
    code, modules = _imported(environment, *arguments)
    assert code == (2 if arguments in ([], ["selct"]) else 0)
    assert not modules & {"torch", "transformers", "datasets", "polars", "pyarrow"}


def test_looking_at_data_needs_no_torch(environment, pipeline, prefs, tiny_model, tmp_path):
    rewards = pipeline["score"][0]
    for arguments in (["info", rewards], ["show", rewards], ["select", rewards, "--out", tmp_path / "s"]):
        code, modules = _imported(environment, *arguments)
        assert code == 0
        assert not modules & {"torch", "transformers", "datasets"}
    code, modules = _imported(environment, "check", prefs)
    assert (code, modules & {"torch", "transformers", "datasets"}) == (0, set())
    code, modules = _imported(environment, "check", prefs, "--tokenizer", tiny_model)
    assert (code, modules & {"torch", "transformers", "datasets"}) == (0, {"transformers"})


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_is_instant(sepo, argument):
    def seconds() -> float:
        begun = time.perf_counter()
        assert sepo(argument).returncode == 0
        return time.perf_counter() - begun

    # 0.1 s here; a loaded machine gets the rest.
    assert min(seconds() for _ in range(3)) < 1
