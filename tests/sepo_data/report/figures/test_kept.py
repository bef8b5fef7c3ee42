"""Tokens that a selection keeps, against a plain loop and queries."""

from __future__ import annotations

from collections import Counter

import pytest

from sepo_data.analysis.query import query
from sepo_data.errors import SepoError
from sepo_data.report.figure import make_figure
from sepo_data.report.figures.kept import kept_table
from sepo_data.report.source import open_sources
from sepo_data.selection.select import select
from sepo_data.stages.scan import scan


@pytest.fixture(scope="session")
def kept_folder(drawn, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept") / "selection"
    select(drawn.folder, folder, chosen="30%", rejected="60%")
    return folder


POSITIONS = {0: "0", 1: "1", 2: "2\u20133", 3: "2\u20133", 4: "4\u20137"}
LENGTHS = {1: "1", 2: "2\u20133", 3: "2\u20133", 4: "4\u20137", 5: "4\u20137"}
CLASSES = {10: "word start", 11: "word continuation", 12: "punctuation", 13: "word start", 14: "template"}
"""Token ids 10, 11, ... are " go", "od", ".", " day" and the end of turn, in this order in every response."""


def test_a_plain_loop_finds_the_same(kept_folder):
    table = kept_table(open_sources([kept_folder])[0])
    tokens, selected = Counter(), Counter()
    for row in scan(kept_folder).collect().iter_rows(named=True):
        for side in ("chosen", "rejected"):
            ids = row[f"{side}_ids"]
            for at, (token, taken) in enumerate(zip(ids, row[f"{side}_mask"], strict=True)):
                for by, group in (
                    ("position", POSITIONS[at]), ("length", LENGTHS[len(ids)]), ("class", CLASSES[token])
                ):  # fmt: skip
                    tokens[by, group, side] += 1
                    selected[by, group, side] += taken
    assert {tuple(row[:3]): row[3:5] for row in table.rows()} == {key: (tokens[key], selected[key]) for key in tokens}
    assert table["share"].to_list() == (table["selected"] / table["tokens"]).to_list()


def test_it_equals_queries(kept_folder):
    table = kept_table(open_sources([kept_folder])[0])
    sql = (
        "SELECT CAST(side AS VARCHAR) AS side, COUNT(*) AS tokens, SUM(CAST(selected AS BIGINT)) AS selected "
        "FROM tokens WHERE position >= 2 AND position < 4 GROUP BY side ORDER BY side"
    )
    asked = query(sql, {"pairs": kept_folder}).collect()
    ours = table.filter(by="position", group="2\u20133").sort("side")
    assert ours.select("side", "tokens", "selected").rows() == asked.rows()
    by_length = query("@selected-share-by-length", {"pairs": kept_folder}).collect()
    starts = {"1": 1, "2\u20133": 2, "4\u20137": 4}
    assert {
        (row["side"], starts[row["group"]]): (row["tokens"], row["selected"])
        for row in table.filter(by="length").iter_rows(named=True)
    } == {
        (row["side"], row["from_length"]): (row["tokens"], row["selected"]) for row in by_length.iter_rows(named=True)
    }


def test_groups_are_in_order(kept_folder):
    table = kept_table(open_sources([kept_folder])[0])
    assert table["by"].unique(maintain_order=True).to_list() == ["position", "length", "class"]
    assert table.filter(by="position", side="chosen")["group"].to_list() == ["0", "1", "2\u20133", "4\u20137"]


def test_the_picture_has_three_panels(kept_folder):
    figure = make_figure("kept", [kept_folder])
    picture = figure.picture("svg").decode()
    titles = ["position in the response (tokens)", "length of the response (tokens)", "class of the token"]
    assert all(f">{text}</text>" in picture for text in [*titles, "chosen", "rejected", "punctuation"])
    assert "rejected 60%" in figure.caption


def test_rewards_keep_nothing(drawn):
    with pytest.raises(SepoError, match="holds rewards, not selection"):
        make_figure("kept", [drawn.folder])
