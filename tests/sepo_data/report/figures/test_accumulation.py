"""Cumulative rewards, against a plain loop and against queries; what is marked."""

from __future__ import annotations

import pytest

from sepo_data.analysis.query import query
from sepo_data.report.figure import make_figure
from sepo_data.report.figures.accumulation import accumulation_table
from sepo_data.report.source import open_sources


def table_of(folder, rewards_of, write_rewards, pairs):
    write_rewards(folder, [rewards_of(pairs)])
    return accumulation_table(open_sources([folder])[0])


def marked(table):
    rows = table.filter("reaches")
    return dict(zip(rows["side"], rows["share_percent"], strict=True))


@pytest.mark.parametrize("data", ["drawn", "long_responses"])
def test_a_plain_loop_adds_up_to_the_same(data, request):
    data = request.getfixturevalue(data)
    table = accumulation_table(data.source)
    assert table.height == 300
    for row in table.iter_rows(named=True):
        best, sizes, every = {"chosen": [], "rejected": []}, 0.0, 0.0
        for chosen, rejected in data.pairs:
            for side, ordered in (("chosen", sorted(chosen)[::-1]), ("rejected", sorted(rejected))):
                best[side] += ordered[: max(1, len(ordered) * row["share_percent"] // 100)]
                every += sum(map(abs, ordered)) if row["side"] in {side, "gap"} else 0
        kept = {**best, "gap": best["chosen"] + best["rejected"]}[row["side"]]
        sizes = sum(map(abs, kept))
        total = sum(best["chosen"]) - sum(best["rejected"]) if row["side"] == "gap" else sum(kept)
        assert row["tokens"] == len(kept)
        assert row["reward_per_pair"] == pytest.approx(total / len(data.pairs))
        assert row["of_absolute"] == pytest.approx(sizes / every)


@pytest.mark.parametrize("data", ["drawn", "long_responses"])
def test_the_curves_end_at_the_rewards_of_the_pairs(data, request):
    data = request.getfixturevalue(data)
    ends = accumulation_table(data.source).filter(share_percent=100)
    sql = (
        "SELECT AVG(CAST(chosen_reward AS DOUBLE)), AVG(CAST(rejected_reward AS DOUBLE)), "
        "AVG(CAST(margin AS DOUBLE)), SUM(chosen_tokens), SUM(rejected_tokens) FROM pairs"
    )
    chosen, rejected, margin, *tokens = query(sql, {"pairs": data.folder}).collect().row(0)
    assert ends["reward_per_pair"].to_list() == pytest.approx([chosen, rejected, margin], rel=1e-5)
    assert ends["tokens"].to_list() == [*tokens, sum(tokens)]
    assert ends["of_absolute"].to_list() == [1, 1, 1]


def test_the_lowest_share_that_reaches_80_percent_is_marked(tmp_path, rewards_of, write_rewards):
    """Chosen: 5, 3, 1, 1 of 10, so 8 at 50%; rejected: nine of -1 and -11 of -20, so -16 at 60%; gap: 24 of 30."""
    pairs = [([1.0, 5.0, 1.0, 3.0], [-11.0] + [-1.0] * 9)]
    table = table_of(tmp_path / "rewards", rewards_of, write_rewards, pairs)
    assert marked(table) == {"chosen": 50, "rejected": 60, "gap": 60}
    caption = make_figure("accumulation", [tmp_path / "rewards"]).caption
    assert "chosen 50% (of +10); rejected 60% (of -20); gap 60% (of +30)." in caption
    assert "goes beyond" not in caption
    assert "sum of all |reward|: chosen 50.0%, rejected 65.0%, both 60.0%." in caption


def test_a_total_of_the_wrong_sign_has_no_mark(tmp_path, rewards_of, write_rewards):
    pairs = [([-1.0, 0.25], [2.0, -1.0])]
    table = table_of(tmp_path / "rewards", rewards_of, write_rewards, pairs)
    assert marked(table) == {}
    caption = make_figure("accumulation", [tmp_path / "rewards"]).caption
    assert "chosen none, as its value at 100% is not above 0 (-0.75)" in caption
    assert "rejected none, as its value at 100% is not below 0 (+1)" in caption
    assert "gap none, as its value at 100% is not above 0 (-1.75)" in caption
    assert "A curve goes beyond its value at 100% and comes back" in caption


def test_a_curve_that_only_falls_does_not_come_back(tmp_path, rewards_of, write_rewards):
    write_rewards(tmp_path / "rewards", [rewards_of([([-1.0], [1.0])])])
    assert "goes beyond" not in make_figure("accumulation", [tmp_path / "rewards"]).caption


def test_rewards_of_zero_have_no_shares(tmp_path, rewards_of, write_rewards):
    table = table_of(tmp_path / "rewards", rewards_of, write_rewards, [([0.0, 0.0], [0.0])])
    assert marked(table) == {}
    assert table["of_total"].null_count() == table["of_absolute"].null_count() == 300
    assert "|reward|" not in make_figure("accumulation", [tmp_path / "rewards"]).caption


def test_a_selection_has_the_curve_of_its_rewards(scored, selected):
    rewards, selection = (accumulation_table(open_sources([folder])[0]) for folder in (scored, selected))
    assert rewards.equals(selection)
