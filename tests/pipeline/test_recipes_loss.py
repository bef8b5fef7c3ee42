"""CONTRIBUTING's recipe for a new loss, followed literally: one new file, found by training, help, docs and tests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sepo_data.preferences.reading import Reading
from sepo_data.selection.select import select
from sepo_train.scoring.score import score
from tests.fixtures.recipes import check_house_rules, recipe

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PROPERTIES = ROOT / "tests" / "sepo_train" / "training" / "losses" / "test_registry_properties.py"
DOCS = ROOT / "tests" / "docs" / "test_docs.py"

PROGRAM = """
import contextlib, io, json, runpy, sys
folder, selection, model, out, properties, docs = sys.argv[1:]

from sepo_train.training import losses

losses.__path__.append(folder)  # as if hinge.py stood in sepo_train/training/losses/

import pytest

with contextlib.redirect_stdout(sys.stderr):  # before anything imports what pytest's plugins import
    tested = pytest.main([properties, "-k", "hinge", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"])

from sepo_train.entry import load_cli

def sepo(*arguments):
    sys.argv = ["sepo", *arguments]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            load_cli().main()
        except SystemExit as exit:
            return [exit.code or 0, printed.getvalue()]

training = ("--policy", model, "--batch-size", "4", "--lr", "1e-3", "--json", "--quiet")
results = {
    "help": sepo("train", "--help"),
    "train": sepo("train", selection, "--loss", "hinge", "--target-margin", "0.5", *training, "--out", out),
    "properties": int(tested),  # 5 where no test has the name
    "docs": runpy.run_path(docs)["_losses"](),
}
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def followed(examples, tiny_models, tmp_path_factory):
    """Each result of the recipe's program."""
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "losses").mkdir()
    (folder / "losses" / "hinge.py").write_text(recipe("A loss")[1], encoding="utf-8")
    models = {role: str(path) for role, path in tiny_models.items()}
    score(Reading(str(examples), limit=8), folder / "rewards", **models)
    select(folder / "rewards", folder / "selection")
    arguments = [folder / "losses", folder / "selection", tiny_models["ref"], folder / "policy", PROPERTIES, DOCS]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    manifest = json.loads((folder / "policy" / "sepo.json").read_text(encoding="utf-8"))
    return json.loads(done.stdout.splitlines()[-1]) | {"errors": done.stderr, "manifest": manifest}


def test_the_recipe_has_at_most_ten_lines_and_a_docstring_and_passes_ruff():
    check_house_rules("A loss")


def test_training_minimises_it(followed):
    code, _ = followed["train"]
    assert code == 0, followed["errors"]
    manifest = followed["manifest"]
    assert manifest["options"]["loss"] == "hinge"
    assert manifest["options"]["target_margin"] == 0.5
    assert manifest["results"]["first_loss"] > 0


def test_help_and_docs_list_it(followed):
    code, text = followed["help"]
    assert code == 0
    assert "hinge" in text
    assert "lead from which the loss is 0" in " ".join(text.split())
    assert "| `hinge` | `max(0, target_margin - (c - r))` | the hinge of SLiC-HF" in followed["docs"]


def test_the_property_tests_pass(followed):
    assert followed["properties"] == 0, followed["errors"]
