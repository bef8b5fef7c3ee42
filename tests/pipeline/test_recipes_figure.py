"""CONTRIBUTING's recipe for a new figure, followed literally: one new file, found by the command, help and docs."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.recipes import check_house_rules, recipe

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "tests" / "docs" / "test_docs.py"

PROGRAM = """
import contextlib, io, json, runpy, sys
folder, rewards, out, docs = sys.argv[1:]

from sepo_data.report import figures

figures.__path__.append(folder)  # as if lengths.py stood in sepo_data/report/figures/

from sepo_train.entry import load_cli

def sepo(*arguments):
    sys.argv = ["sepo", *arguments]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            load_cli().main()
        except SystemExit as exit:
            return [exit.code or 0, printed.getvalue()]

results = {
    "help": sepo("plot", "--help"),
    "plot": sepo("plot", "lengths", rewards, "--out", out),
    "docs": runpy.run_path(docs)["_figures"](),
}
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def followed(scored, tmp_path_factory):
    """Each result of the recipe's program, and the folder of the picture."""
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "figures").mkdir()
    (folder / "figures" / "lengths.py").write_text(recipe("A figure")[1], encoding="utf-8")
    arguments = [folder / "figures", scored, folder / "lengths.svg", DOCS]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) | {"errors": done.stderr, "folder": folder}


def test_the_recipe_is_short_has_a_docstring_and_passes_ruff():
    check_house_rules("A figure", most=22)


def test_it_is_drawn(followed):
    code, out = followed["plot"]
    assert (code, out) == (0, f"{followed['folder'] / 'lengths.svg'}\n"), followed["errors"]
    assert (followed["folder"] / "lengths.svg").read_bytes().startswith(b"<svg")
    rows = list(csv.reader((followed["folder"] / "lengths.csv").read_text(encoding="utf-8").splitlines()))
    assert rows == [["chosen_tokens", "pairs"], ["1", "1"], ["4", "1"], ["5", "1"]]
    assert "rewards: 3 pairs" in followed["errors"]


def test_help_and_docs_list_it(followed):
    code, text = followed["help"]
    assert code == 0
    assert "lengths Pairs by the length of the chosen response." in " ".join(text.split())
    assert "| [`lengths`](#lengths) | Pairs by the length of the chosen response. |" in followed["docs"]
