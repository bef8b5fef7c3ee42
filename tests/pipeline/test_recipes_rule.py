"""CONTRIBUTING's recipes of a selection rule and a filter, followed literally: one file, and everything finds it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sepo_data.stages.scan import scan
from tests.fixtures.recipes import check_house_rules, recipe

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SEPO = "import sys; sys.argv[0] = 'sepo'; from sepo_train.entry import main; main()"


def follow(folder, title):
    """Write the recipe's file to `folder`, and beside it a plugin that makes `folder` a part of the package."""
    package, code = recipe(title)
    (folder / "added").mkdir()
    (folder / "added" / "added_by_recipe.py").write_text(code, encoding="utf-8")
    plugin = f"import {package} as package\npackage.__path__.append({str(folder / 'added')!r})\n"
    (folder / "added_folder.py").write_text(plugin, encoding="utf-8")


@pytest.fixture(scope="module")
def with_rule(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rule")
    follow(folder, "A selection rule")
    return folder


@pytest.fixture(scope="module")
def with_filter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filter")
    follow(folder, "A filter")
    return folder


@pytest.fixture
def python(environment):
    """Run Python at the top of the repository with the file of a recipe in place; its standard output."""

    def run(folder, *arguments):
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env=environment | {"PYTHONPATH": f"{folder}:{ROOT}", "COLUMNS": "120"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def sepo_with(python):
    def run(folder, *arguments):
        return python(folder, "-c", f"import added_folder; {SEPO}", *arguments)

    return run


def masks(folder):
    """A word of 1 and 0 for each pair, by side."""
    frame = scan(folder).collect()
    rows = (frame[f"{side}_mask"].to_list() for side in ("chosen", "rejected"))
    return [" ".join("".join(str(int(mark)) for mark in row) for row in side) for side in rows]


@pytest.mark.parametrize("title", ["A selection rule", "A filter"])
def test_a_recipe_has_at_most_ten_lines_and_a_docstring_and_passes_ruff(title):
    check_house_rules(title)


def test_the_rule_goes_through_the_command(with_rule, sepo_with, scored, tmp_path):
    sepo_with(with_rule, "select", scored, "--rule", "first(50%)", "--out", tmp_path / "out")
    # responses of 5, 1 and 4 tokens, and of 2, 3 and 2: half of them, rounded down, and at least one
    assert masks(tmp_path / "out") == ["11000 1 1100", "10 100 10"]
    manifest = json.loads((tmp_path / "out" / "sepo.json").read_text(encoding="utf-8"))
    assert manifest["options"] == {"rule": "first", "chosen": "50%", "rejected": "50%"}


@pytest.mark.parametrize("arguments", [("select", "--help"), ("help", "select")])
def test_help_lists_the_rule(with_rule, sepo_with, arguments):
    text = " ".join(sepo_with(with_rule, *arguments).split())
    assert "first(share=30%, chosen, rejected) The first tokens of each response, as many as `top` takes." in text


def test_the_table_of_the_docs_lists_the_rule(with_rule, python):
    table = "from tests.docs.test_docs import SELECT, made_tables; print(made_tables()[SELECT]['rules'])"
    rows = python(with_rule, "-c", f"import added_folder; {table}").splitlines()
    meaning = "The first tokens of each response, as many as `top` takes."
    assert f"| `first(share=30%, chosen, rejected)` | {meaning} | control |" in rows


def test_the_property_tests_find_the_rule(with_rule, python):
    tests = "tests/sepo_data/selection/test_rule_properties.py"
    out = python(
        with_rule, "-m", "pytest", "-v", "-p", "added_folder", "-p", "no:cacheprovider", tests, "-k", "[first]"
    )
    passed = set(re.findall(r"::(\w+)\[first\] PASSED", out))
    assert {
        "test_a_rule_with_quotas_takes_exactly_so_many",
        "test_the_highest_scores_are_taken_the_earliest_first_among_equals",
        "test_neither_shards_nor_batches_change_a_mask",
    } <= passed


def test_the_filter_goes_through_the_command(with_filter, sepo_with, scored, tmp_path):
    sepo_with(with_filter, "select", scored, "--skip-first", "1", "--out", tmp_path / "out")
    # the best of 4, of 3 and of 1 token; a response of one token keeps it
    assert masks(tmp_path / "out") == ["00100 1 0100", "01 001 01"]
    manifest = json.loads((tmp_path / "out" / "sepo.json").read_text(encoding="utf-8"))
    assert manifest["options"]["skip_first"] == 1


def test_help_docs_and_tests_find_the_filter(with_filter, sepo_with, python):
    assert "--skip-first N leave the first N tokens" in " ".join(sepo_with(with_filter, "select", "--help").split())
    table = "from tests.docs.test_docs import CLI, made_tables; print(made_tables()[CLI]['options of select'])"
    assert "| `--skip-first` | `0` | leave the first N tokens" in python(
        with_filter, "-c", f"import added_folder; {table}"
    )
    tests = "tests/sepo_data/selection/test_selection.py"
    out = python(
        with_filter, "-m", "pytest", "-p", "added_folder", "-p", "no:cacheprovider", tests, "-k", "[skip_first]"
    )
    assert "1 passed" in out
