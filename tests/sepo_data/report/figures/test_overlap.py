"""Overlap of stored selections, against a query and a plain loop."""

from __future__ import annotations

import pytest

from sepo_data.analysis.diff import diff
from sepo_data.analysis.query import query
from sepo_data.errors import SepoError
from sepo_data.report.figure import make_figure
from sepo_data.report.figures.overlap import differ_in_k, overlap_table
from sepo_data.report.source import open_sources
from sepo_data.selection.select import select
from sepo_data.stages.scan import scan


@pytest.fixture(scope="session")
def made(drawn, tmp_path_factory):
    """Selections of `drawn` by name."""
    folder = tmp_path_factory.mktemp("made")
    quotas = {"half": ("50%", "50%"), "fifth": ("20%", "20%"), "uneven": ("20%", "100%"), "one": ("1t", "1t")}
    for name, (chosen, rejected) in quotas.items():
        select(drawn.folder, folder / name, chosen=chosen, rejected=rejected)
    select(drawn.folder, folder / "control", "random")
    return folder


def masks(folder, side):
    return scan(folder).collect()[f"{side}_mask"].to_list()


def test_a_plain_loop_finds_the_same(made):
    folders = [made / name for name in ("half", "uneven", "control")]
    table = overlap_table(open_sources(folders), ["half", "uneven", "control"])
    assert table.height == 9
    for one, other in (("half", "uneven"), ("half", "control"), ("uneven", "control")):
        chances, expected = 0, {"tokens": 0, "selected_a": 0, "selected_b": 0, "in_both": 0}
        for side in ("chosen", "rejected"):
            found, chance = dict.fromkeys(expected, 0), 0
            for a, b in zip(masks(made / one, side), masks(made / other, side), strict=True):
                found["tokens"] += len(a)
                found["selected_a"] += sum(a)
                found["selected_b"] += sum(b)
                found["in_both"] += sum(x and y for x, y in zip(a, b, strict=True))
                chance += sum(a) * sum(b) / len(a)
            [row] = table.filter(a=one, b=other, side=side).iter_rows(named=True)
            assert {name: row[name] for name in found} == found
            in_any = found["selected_a"] + found["selected_b"] - found["in_both"]
            assert row["jaccard"] == pytest.approx(found["in_both"] / in_any)
            expected, chances = {name: expected[name] + found[name] for name in found}, chances + chance
        [row] = table.filter(a=one, b=other, side="together").iter_rows(named=True)
        assert {name: row[name] for name in expected} == expected
        assert row["chance"] == pytest.approx(chances / (expected["selected_a"] + expected["selected_b"] - chances))


def test_it_equals_the_query_of_agreement_and_diff(made):
    table = overlap_table(open_sources([made / "half", made / "control"]), ["half", "control"])
    asked = query("@agreement", {"a": made / "half", "b": made / "control"}).collect()
    columns = ["side", "tokens", "selected_a", "selected_b"]
    assert table.sort("side").select(columns).rows() == asked.sort("side").select(columns).rows()
    assert table.sort("side")["jaccard"].to_list() == pytest.approx(asked.sort("side")["jaccard"].to_list())
    stored = [one for one in diff(made / "half", made / "control").overlaps if one.share == "stored"]
    assert [(one.in_both, one.chance) for one in stored] == [
        (in_both, pytest.approx(chance)) for in_both, chance in table.select("in_both", "chance").rows()
    ]


def test_selections_that_differ_in_k_alone(made):
    opened = {name: open_sources([made / name])[0] for name in ("half", "fifth", "uneven", "control")}
    assert differ_in_k([opened["half"], opened["fifth"], opened["uneven"]])
    assert not differ_in_k([opened["half"], opened["control"]])
    assert not differ_in_k([opened["half"], opened["half"]])


def test_labels_are_k_in_order_where_nothing_else_differs(made):
    figure = make_figure("overlap", [made / name for name in ("one", "half", "uneven", "fifth")])
    names = figure.table.select("a", "b").unique(maintain_order=True).rows()
    assert names[:3] == [("1 token", "20%"), ("1 token", "20% / 100%"), ("1 token", "50%")]
    picture = figure.picture("svg").decode()
    assert ">K (chosen / rejected)</text>" in picture
    assert ">20% / 100%</text>" in picture
    # the fifth of chosen in both selections: numbers in cells, and in brackets that by chance
    both = figure.table.filter(a="20%", b="20% / 100%", side="chosen")
    assert both["jaccard"].item() == 1.0
    assert ">1.00</text>" in picture
    assert f">({both['chance'].item():.2f})</text>" in picture


def test_others_have_the_names_of_directories(made):
    figure = make_figure("overlap", [made / "half", made / "control"])
    assert figure.table.select("a", "b").unique().rows() == [("half", "control")]
    assert ">K: 20% | 50%</text>" in make_figure("overlap", [made / "half", made / "fifth"]).picture("svg").decode()
    picture = figure.picture("svg").decode()
    assert ">half | control</text>" in picture
    assert all(f">{value:.2f}</text>" in picture for value in figure.table["jaccard"])
    assert "Selected by random" in figure.caption


def test_many_selections_have_colours_alone(made):
    names = ["half", "control", "uneven", "fifth", "one"] * 3
    figure = make_figure("overlap", [made / name for name in names[:12]])
    assert figure.table.height == 66 * 3
    assert ">(" not in figure.picture("svg").decode()
    assert "In the table: expected" in figure.caption


def test_selections_without_a_common_pair(made, tmp_path, rewards_of, write_rewards, texts):
    write_rewards(tmp_path / "rewards", [rewards_of([([1.0], [2.0])], first=1000)], tokenizer=texts)
    select(tmp_path / "rewards", tmp_path / "other")
    with pytest.raises(SepoError, match="half and other share no pair"):
        make_figure("overlap", [made / "half", tmp_path / "other"])


def test_rewards_have_no_selection(drawn, made):
    with pytest.raises(SepoError, match="holds rewards, not selection"):
        make_figure("overlap", [made / "half", drawn.folder])


def test_the_number_of_a_bar_is_behind_its_tick(made):
    """An overlap below chance has its tick where its number would be."""
    figure = make_figure("overlap", [made / "half", made / "control"])
    drawn = figure.chart.data
    assert drawn["right"].to_list() == [max(row) for row in figure.table.select("jaccard", "chance").rows()]
    assert figure.chart.layer[2].encoding.x.shorthand == "right:Q"
