"""Registries: files of a folder are found without a second edit, and forgotten with the folder."""

import subprocess
import sys

import pytest

from sepo_data.selection import rules
from sepo_data.selection.rule import RULES

RULE = '''
from sepo_data.selection.rule import RULES, Rule, rule
from sepo_data.selection.scores import lengths, signed_rewards

@rule(source="a test")
def {name}() -> Rule:
    """Every token."""
    return Rule("{name}", {{}}, signed_rewards, lambda side, _score: lengths(side))
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A second folder of the package of rules, and the modules that it adds."""
    before = set(sys.modules)
    monkeypatch.setattr(rules, "__path__", [*rules.__path__, str(tmp_path)])
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(f"{rules.__name__}."):
            del sys.modules[name]


def test_a_new_file_is_found_and_an_old_one_forgotten(folder, monkeypatch):
    known = list(RULES)
    (folder / "addition.py").write_text(RULE.format(name="addition"), encoding="utf-8")
    assert list(RULES) == ["top", *sorted([*known[1:], "addition"])]
    assert RULES["addition"].module == f"{rules.__name__}.addition"
    monkeypatch.undo()
    assert list(RULES) == known


def test_a_name_is_registered_once(folder):
    (folder / "second_top.py").write_text(RULE.format(name="top"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"top is registered in sepo_data\.selection\.rules\.(second_)?top and in"):
        list(RULES)


def test_rules_and_filters_are_listed_without_polars_numpy_or_pyarrow():
    listing = (
        "import sys\n"
        "from sepo_data.selection.filter import FILTERS\n"
        "from sepo_data.selection.rule import RULES\n"
        "assert [entry.summary for entry in RULES.values()] and [entry.help for entry in FILTERS.values()]\n"
        "print([name for name in ('polars', 'numpy', 'pyarrow', 'tokenizers', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
