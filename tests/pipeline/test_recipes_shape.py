"""CONTRIBUTING's recipe for a dataset shape, followed literally: one new file, found by check, docs and tests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.recipes import check_house_rules, recipe

ROOT = Path(__file__).resolve().parents[2]
PROPERTIES = ROOT / "tests" / "sepo_data" / "shapes" / "test_registry.py"
DOCS = ROOT / "tests" / "docs" / "test_docs.py"

PROGRAM = """
import contextlib, io, json, runpy, sys
folder, dataset, renamed, properties, docs = sys.argv[1:]

import sepo_data.shapes

sepo_data.shapes.__path__.append(folder)  # as if debate.py stood in sepo_data/shapes/

import pytest

with contextlib.redirect_stdout(sys.stderr):
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    tested = pytest.main([properties, "-k", "debate", *options])

from sepo_train.entry import load_cli

def check(*arguments):
    sys.argv = ["sepo", "check", *arguments, "--json", "--quiet"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        load_cli().main()
    return json.loads(printed.getvalue())

checked = check(dataset), check(renamed, "--columns", "winning=best")
docs = runpy.run_path(docs)
tables = [docs[name]() for name in ("_shapes", "_shape_sections", "_roles")]
print(json.dumps([int(tested), *checked, *tables]))
"""


def test_the_recipe_has_at_most_ten_lines_and_a_docstring_and_passes_ruff():
    check_house_rules("A dataset shape")


@pytest.mark.slow
def test_one_file_is_a_dataset_shape(environment, tmp_path):
    added = tmp_path / "added"
    added.mkdir()
    (added / "debate.py").write_text(recipe("A dataset shape")[1], encoding="utf-8")
    dataset = tmp_path / "debates.jsonl"
    rows = [{"motion": f"Is {n} even?", "winning": " Yes." if n % 2 == 0 else " No.", "losing": "."} for n in range(4)]
    dataset.write_text(
        "".join(json.dumps(row) + "\n" for row in [*rows, {**rows[0], "losing": None}]), encoding="utf-8"
    )
    renamed = tmp_path / "renamed.jsonl"
    renamed.write_text(dataset.read_text(encoding="utf-8").replace('"winning"', '"best"'), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, added, dataset, renamed, PROPERTIES, DOCS],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tested, checked, under_columns, shapes, sections, roles = json.loads(done.stdout.splitlines()[-1])
    assert tested == 0, done.stderr  # 5 where no test has the name
    assert "2 passed" in done.stderr, "its example, and rows with other values"
    assert checked["shape"]["name"] == "debate"
    assert (checked["rows"], checked["pairs"]) == (5, 4)
    assert under_columns["shape"]["description"] == "best is chosen."
    assert "| 2 | [debate](#debate) | winning is chosen. |" in shapes
    assert '### debate\n\nA motion, two speeches.\n\n```json\n{"motion": "Tea or coffee?", "winning"' in sections
    assert "| `motion` |  | string |" in roles
