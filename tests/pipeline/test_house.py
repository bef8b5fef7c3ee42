"""The house rules that no linter holds: sizes, the mirror of the tests, lazy front doors, plain first words."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [ROOT / "cli.py", *sorted((ROOT / "sepo_data").rglob("*.py")), *sorted((ROOT / "sepo_train").rglob("*.py"))]
MOST_FILES, MOST_LINES, MOST_CLI_LINES, MOST_BODY_LINES = 20, 300, 200, 50
STAGES = {
    "sepo_train/scoring/score.py": "score",
    "sepo_train/training/oracle.py": "train_oracle",
    "sepo_data/selection/select.py": "select",
    "sepo_train/training/policy.py": "train",
    "sepo_train/evaluation/evaluate.py": "evaluate",
}
RELATIVE = re.compile(r"(What|How|Which|Where|Who|Whoever|Whose|Whether|When|Why)\b")


def test_no_folder_has_more_files_than_fit_a_screen():
    counts = Counter(file.parent.relative_to(ROOT).as_posix() for file in SOURCES if file.name != "__init__.py")
    assert {folder: count for folder, count in counts.items() if count > MOST_FILES} == {}


def test_no_file_is_longer_than_one_concept():
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in SOURCES}
    limits = {file: MOST_CLI_LINES if file.name == "cli.py" else MOST_LINES for file in SOURCES}
    assert {str(file): length for file, length in lengths.items() if length > limits[file]} == {}


def body_lines(file: Path, name: str) -> int:
    """Lines of the body of function `name` in `file`, without its docstring."""
    [function] = [
        node
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    first = function.body[1 if ast.get_docstring(function) else 0]
    return function.end_lineno - first.lineno + 1


@pytest.mark.parametrize("file", STAGES)
def test_a_stage_is_read_on_one_screen(file):
    assert body_lines(ROOT / file, STAGES[file]) <= MOST_BODY_LINES


def test_every_test_file_mirrors_a_module():
    """`tests/a/b/test_c.py` and `test_c_aspect.py` test `a/b/c.py`; what crosses packages is in pipeline/."""
    strangers = []
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        place = file.parent.relative_to(ROOT / "tests")
        if place.parts[0] in {"pipeline", "commands", "docs", "reliability"}:
            continue
        modules = {module.stem for module in (ROOT / place).glob("*.py")} | {"init"}
        subject = file.stem.removeprefix("test_")
        if not any(subject == module or subject.startswith(f"{module}_") for module in modules):
            strangers.append(str(file.relative_to(ROOT)))
    assert strangers == []


def test_docstrings_begin_with_a_noun_or_a_verb():
    begun = []
    for file in SOURCES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), f"{file} has no docstring"
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        texts = [(node, ast.get_docstring(node) or "") for node in ast.walk(tree) if isinstance(node, documented)]
        begun += [f"{file.relative_to(ROOT)}: {text.splitlines()[0]}" for _, text in texts if RELATIVE.match(text)]
    assert begun == []


def test_the_floor_that_is_run_is_the_one_that_is_promised():
    """Each lower bound of a dependency in pyproject.toml is the version that constraints-floor.txt pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [Requirement(text) for text in project["dependencies"]]
    promised = {
        requirement.name: Version(next(each.version for each in requirement.specifier if each.operator == ">="))
        for requirement in requirements
    }
    lines = (ROOT / "constraints-floor.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert {name: Version(version) for name, version in pinned.items()} == promised


@pytest.mark.slow
@pytest.mark.parametrize("package", ["sepo_data", "sepo_train"])
def test_front_doors_are_lazy_and_whole(package):
    """Importing the package imports nothing heavy; every public name is there, and is what its home has."""
    code = f"""
import sys, importlib
import {package} as package
heavy = {{"torch", "polars", "pyarrow", "numpy", "transformers", "datasets"}} & set(sys.modules)
assert not heavy, heavy
assert set(package.__all__) == set(package.HOMES) <= set(dir(package))
for name in package.__all__:
    assert getattr(package, name) is getattr(importlib.import_module(package.HOMES[name]), name)
try:
    package.nothing
except AttributeError as error:
    assert "nothing" in str(error)
else:
    raise AssertionError
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
