"""Registries: files of a folder are found without a second edit, forgotten with the folder, and cheap to import."""

import importlib
import subprocess
import sys

import pytest

from sepo_data.selection.filter import FILTERS
from sepo_data.selection.rule import RULES
from sepo_data.shapes.registry import SHAPES
from sepo_train.training.losses import LOSSES
from tests.fixtures.heavy_imports import WATCH

ENTRIES = {
    "sepo_data.selection.rules": '''
from sepo_data.selection.rule import Rule, rule
from sepo_data.selection.scores import lengths, signed_rewards

@rule(source="a test")
def {name}() -> Rule:
    """Every token."""
    return Rule("{name}", {{}}, signed_rewards, lambda side, _score: lengths(side))
''',
    "sepo_data.selection.filters": '''
from sepo_data.selection.filter import NARROW, Filter, filter_option

@filter_option(int, help="nothing")
def {name}(number: int = 0) -> Filter:
    """Nothing."""
    return Filter("{name}", number, NARROW)
''',
    "sepo_data.shapes": """
from sepo_data.shapes.registry import shape

@shape("{name}", tier=2, example={{}})
def find(columns):
    return []
""",
    "sepo_train.training.losses": '''
from sepo_train.training.losses.registry import loss

@loss(reward=lambda means: means)
def {name}_loss(chosen_means, rejected_means):
    """r - c: a test."""
    return rejected_means - chosen_means
''',
}
REGISTRIES = {
    "sepo_data.selection.rules": (RULES, "top"),
    "sepo_data.selection.filters": (FILTERS, "neighbours"),
    "sepo_data.shapes": (SHAPES, "votes"),
    "sepo_train.training.losses": (LOSSES, "sepo"),
}

packages = pytest.mark.parametrize("package", ENTRIES)


@pytest.fixture
def folder(tmp_path, monkeypatch, package):
    """A second folder of a package, and the modules that it adds."""
    before = set(sys.modules)
    home = importlib.import_module(package)
    monkeypatch.setattr(home, "__path__", [*home.__path__, str(tmp_path)])
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(f"{package}."):
            del sys.modules[name]


@packages
def test_a_new_file_is_found_and_an_old_one_forgotten(package, folder, monkeypatch):
    registry, _ = REGISTRIES[package]
    known = list(registry)
    (folder / "addition.py").write_text(ENTRIES[package].format(name="addition"), encoding="utf-8")
    assert [name for name in registry if name != "addition"] == known
    assert registry["addition"].module == f"{package}.addition"
    assert [name for name, _ in registry.items()] == [entry.name for entry in registry.values()] == list(registry)
    monkeypatch.undo()
    assert list(registry) == known


@packages
def test_a_name_is_registered_once(package, folder):
    """Otherwise another file would replace what a name stands for, and nobody would notice."""
    registry, name = REGISTRIES[package]
    home = registry[name].module
    (folder / "zz_second.py").write_text(ENTRIES[package].format(name=name), encoding="utf-8")
    with pytest.raises(ValueError, match=f"^{name} is registered in {home} and in {package}.zz_second$"):
        list(registry)
    (folder / "zz_second.py").unlink()
    assert registry[name].module == home


def test_the_orders():
    assert list(RULES) == ["top", *sorted(RULES.keys() - {"top"})]
    assert list(FILTERS) == sorted(FILTERS)
    shipped = ["sepo", "simpo", "cpo", "orpo", "rrhf", "dpo", "ipo", "kto"]
    assert [name for name in LOSSES if name in shipped] == shipped


def heavy_imports(package, folder=None):
    """The imports of what takes long when the files of a package are imported, with those of `folder`, a line each."""
    program = f"""{WATCH}
import importlib, pkgutil
home = importlib.import_module({package!r})
home.__path__ += {[str(folder)] if folder else []}
for module in pkgutil.iter_modules(home.__path__):
    importlib.import_module(f"{{home.__name__}}.{{module.name}}")
print(*Watch.found, sep="\\n")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip().splitlines()


@packages
def test_a_file_of_a_registry_imports_nothing_that_takes_long(package):
    """Help and completion import all of them; the shapes, which those do not list, stand on the schemas."""
    light = {"pyarrow", "numpy"} if package == "sepo_data.shapes" else set()
    found = [line for line in heavy_imports(package) if line.split()[0] not in light]
    assert found == [], "import it inside the function that needs it"


@pytest.mark.parametrize("line", ["import polars as pl", "from sepo_data.selection.ragged import ragged"])
def test_the_file_that_imports_polars_is_named(tmp_path, line):
    slow = tmp_path / "slow.py"
    slow.write_text(f'"""A rule."""\n\n{line}\n', encoding="utf-8")
    [found] = [each for each in heavy_imports("sepo_data.selection.rules", tmp_path) if each.startswith("polars")]
    assert f"{slow}:3" in found
