"""CONTRIBUTING leads where it says: its map is that of the packages, and every place in its table exists.

`python tests/docs/test_contributing.py` writes the map anew.
"""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "CONTRIBUTING.md"
LINK = re.compile(r"\[(.+?)\]\(#(.+?)\)")
ROWS = re.findall(r"^\| (.+?) \| `([\w.]+):(\w+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
PLACES = [(LINK.sub(r"\1", question), module, name) for question, module, name in ROWS]
QUESTIONS = {
    "the reward",
    "the mask",
    "the loss",
    "the place for a new dataset shape",
    "the place for a new selection rule",
    "the place for a new filter",
    "the place for a new figure",
    "the place for a new loss",
    "the plan of `score`",
    "an architecture's fallback",
    "an option of `score`",
}


def layers() -> list[str]:
    """The rooms from the top down, as the import contract orders them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    [ordered] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    return [room for layer in ordered for room in layer.split(" | ")]


def made_map() -> str:
    lines = []
    for room in layers():
        path = ROOT / room.replace(".", "/")
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))).splitlines()[0]
        lines.append(f"- `{file.relative_to(ROOT).as_posix().removesuffix('__init__.py')}`: {docstring}")
    return "\n".join(lines) + "\n"


def with_map(text: str) -> str:
    begin, end = "<!-- made by tests/docs/test_contributing.py: map -->\n", "<!-- end -->"
    before, found, after = text.partition(begin)
    assert found
    return before + begin + made_map() + end + after.partition(end)[2]


def test_the_map_is_that_of_the_packages():
    text = PAGE.read_text(encoding="utf-8")
    assert text == with_map(text), "run: python tests/docs/test_contributing.py"


def test_every_room_is_on_the_map():
    rooms = {
        ".".join(init.parent.relative_to(ROOT).parts)
        for package in ("sepo_data", "sepo_train")
        for init in (ROOT / package).glob("*/__init__.py")
    }
    assert rooms <= set(layers())


def test_the_table_answers_every_question():
    assert {question for question, _, _ in PLACES} >= QUESTIONS


def test_every_place_for_something_new_leads_to_its_recipe():
    text = PAGE.read_text(encoding="utf-8")
    recipes = re.findall(r"^### (.+)$", text.partition("## Recipes")[2], re.MULTILINE)
    links = dict(LINK.findall("\n".join(question for question, _, _ in ROWS)))
    assert links.keys() == {question for question, _, _ in PLACES if question.startswith("the place for a new")}
    assert sorted(links.values()) == sorted(title.lower().replace(" ", "-") for title in recipes)


@pytest.mark.parametrize(("module", "name"), [place[1:] for place in PLACES], ids=[place[0] for place in PLACES])
def test_every_place_exists(module, name):
    assert getattr(importlib.import_module(module), name).__module__ == module


if __name__ == "__main__":
    PAGE.write_text(with_map(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
