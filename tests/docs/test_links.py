"""Every relative link, heading and module that a page of Markdown names exists."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    file for pattern in ("*.md", "docs/*.md", "examples/*.md", "schemas/*.md") for file in sorted(ROOT.glob(pattern))
]
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([\w-]*))?\)")
MODULE = re.compile(r"\b(sepo_(?:data|train)(?:\.\w+)+)")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    broken = []
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = page.parent / path if path else page
        if not path.startswith("http") and not (target.exists() and (not anchor or anchor in anchors(target))):
            broken.append(f"{path}#{anchor}")
    assert broken == []


def resolve(name: str) -> object:
    """The module, or the attribute of one, that a dotted name means."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_module_exists(page):
    for name in MODULE.findall(page.read_text(encoding="utf-8")):
        resolve(name)
