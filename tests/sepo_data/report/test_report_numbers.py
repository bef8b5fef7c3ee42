"""Numbers of the report against `sepo query` on the same directory."""

# ruff: noqa: S608 - queries of our own

import json
import re
from html import unescape

import pytest

from sepo_data import query, select
from sepo_data.report.report import write_report


@pytest.fixture(scope="module")
def page(drawn, tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("report") / "r.html"
    return write_report([drawn.folder], out).path.read_text(encoding="utf-8")


def tiles(page: str) -> dict[str, tuple[str, list[str]]]:
    """The value and the notes of each tile, by its name."""
    found = {}
    for tile in re.findall(r'<div class="tile">(.*?)</div>', page):
        [name] = re.findall("<dt>(.*?)</dt>", tile)
        value, *notes = re.findall("<dd[^>]*>(.*?)</dd>", tile)
        found[unescape(name)] = (unescape(value), list(map(unescape, notes)))
    return found


def kept(page: str, side: str, percent: int) -> dict[str, float]:
    """The numbers that the script shows of all pairs at this share."""
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    return {name: values[percent - 1] for name, values in data["kept"][0][side].items()}


def answer(sql: str, folder) -> dict:
    return query(sql, {"pairs": folder}).collect().row(0, named=True)


@pytest.mark.parametrize(("seen", "group"), [("NOT oracle_seen", "unseen pairs"), ("oracle_seen", "seen pairs")])
def test_accuracy_margin_and_pairs_of_the_oracle(drawn, page, seen, group):
    found = answer(
        "SELECT COUNT(*) AS pairs, AVG(CAST((SIGN(margin) + 1) / 2 AS DOUBLE)) AS accuracy, "
        f"AVG(CAST(margin AS DOUBLE)) AS margin FROM pairs WHERE {seen}",
        drawn.folder,
    )
    value, notes = tiles(page)[f"Oracle accuracy, {group}"]
    assert value == f"{found['accuracy']:.1%}"
    assert notes[-1] == f"of {found['pairs']} pairs"
    value, notes = tiles(page)[f"Mean margin, {group}"]
    assert value == f"{found['margin']:+.3f}".replace("-", "\u2212")
    assert notes[-1] == f"of {found['pairs']} pairs"


def test_pairs_and_tokens(drawn, page):
    found = answer(
        "SELECT COUNT(*) AS pairs, SUM(prompt_tokens) AS prompt, SUM(chosen_tokens) AS chosen, "
        "SUM(rejected_tokens) AS rejected FROM pairs",
        drawn.folder,
    )
    facts = dict(re.findall("<dt>([a-z]+)</dt><dd>(.*?)</dd>", page))
    assert facts["pairs"] == str(found["pairs"])
    assert facts["tokens"] == f"prompt {found['prompt']}, chosen {found['chosen']}, rejected {found['rejected']}"
    assert f"{found['chosen'] + found['rejected']} in all" in page


@pytest.mark.parametrize("side", ["chosen", "rejected"])
def test_all_tokens_of_a_side(drawn, page, side):
    found = answer(
        "SELECT COUNT(*) AS tokens, SUM(CAST(reward AS DOUBLE)) AS reward, SUM(ABS(CAST(reward AS DOUBLE))) AS "
        f"absolute FROM tokens WHERE side = '{side}'",
        drawn.folder,
    )
    assert kept(page, side, 100) == pytest.approx(found)


@pytest.mark.parametrize("percent", [1, 30, 67])
def test_what_a_share_keeps(drawn, page, percent, tmp_path):
    select(drawn.folder, tmp_path / "selection", chosen=f"{percent}%", rejected=f"{percent}%")
    for side in ("chosen", "rejected"):
        found = answer(
            "SELECT COUNT(*) AS tokens, SUM(CAST(reward AS DOUBLE)) AS reward, SUM(ABS(CAST(reward AS DOUBLE))) AS "
            f"absolute FROM tokens WHERE side = '{side}' AND selected",
            tmp_path / "selection",
        )
        assert kept(page, side, percent) == pytest.approx(found)


def test_the_tiles_of_a_selection(drawn, tmp_path):
    select(drawn.folder, tmp_path / "selection")
    made = write_report([tmp_path / "selection"], tmp_path / "r.html").path.read_text(encoding="utf-8")
    for side in ("chosen", "rejected"):
        found = answer(
            f"SELECT SUM({side}_selected) AS kept, SUM({side}_tokens) AS tokens FROM pairs", tmp_path / "selection"
        )
        value, [note] = tiles(made)[f"Selected of {side}"]
        assert value == f"{found['kept'] / found['tokens']:.1%}"
        assert note == f"{found['kept']} of {found['tokens']} tokens"
    found = answer(
        "SELECT SUM(CASE WHEN side = 'chosen' THEN CAST(reward AS DOUBLE) ELSE -CAST(reward AS DOUBLE) END) / "
        "COUNT(DISTINCT pair_id) AS margin FROM tokens WHERE selected",
        tmp_path / "selection",
    )
    value, notes = tiles(made)["Mean margin of the selection"]
    assert value == f"{found['margin']:+.3f}".replace("-", "\u2212")
    assert notes[-1] == "of 60 pairs"
