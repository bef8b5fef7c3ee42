"""The distribution of rewards, against a plain loop and against queries."""

from __future__ import annotations

import math
from statistics import mean, median

import pytest

from sepo_data.analysis.query import query
from sepo_data.report.figure import make_figure
from sepo_data.report.figures.distribution import MOST_BINS, TAIL, distribution_table
from sepo_data.report.source import open_sources


@pytest.fixture(params=["drawn", "long_responses"])
def data(request):
    return request.getfixturevalue(request.param)


def within(value, low, high):
    return (low is None or low <= value) and (high is None or value < high)


def test_a_plain_loop_counts_the_same(data):
    table = distribution_table(data.source)
    for place, side in enumerate(("chosen", "rejected")):
        rewards = [reward for pair in data.pairs for reward in pair[place]]
        rows = table.filter(side=side)
        for row in rows.iter_rows(named=True):
            assert row["tokens"] == sum(within(reward, row["bin_low"], row["bin_high"]) for reward in rewards)
            assert row["share"] == row["tokens"] / len(rewards)
        assert rows["tokens"].sum() == len(rewards)


def test_the_bins_are_common_and_of_one_width(data):
    table = distribution_table(data.source)
    chosen, rejected = (table.filter(side=side).select("bin_low", "bin_high").rows() for side in ("chosen", "rejected"))
    assert chosen == rejected
    assert [high for _, high in chosen[:-1]] == [low for low, _ in chosen[1:]]
    assert chosen[0][0] is chosen[-1][1] is None
    widths = {high - low for low, high in chosen[1:-1]}
    assert len(widths) == 1
    assert widths.pop().hex().startswith("0x1.0000000000000p")  # a power of two
    target = min(math.isqrt(table["tokens"].sum()), MOST_BINS)
    assert target <= len(chosen) - 2 <= 2 * target + 1


def test_the_tails_hold_few_tokens(data):
    table = distribution_table(data.source)
    tokens = table["tokens"].sum()
    for tail in (table.filter(table["bin_low"].is_null()), table.filter(table["bin_high"].is_null())):
        assert tail["tokens"].sum() <= TAIL * tokens


def test_an_outlier_does_not_widen_the_bins(tmp_path, rewards_of, write_rewards):
    pairs = [([place / 1000.0], [-place / 1000.0]) for place in range(500)]
    write_rewards(tmp_path / "rewards", [rewards_of([*pairs, ([1e30], [-1e30])])])
    table = distribution_table(open_sources([tmp_path / "rewards"])[0])
    assert table.filter(side="chosen")["tokens"].to_list()[-1] >= 1
    assert table.drop_nulls()["bin_high"].max() < 1


@pytest.mark.parametrize("value", [0.0, 0.3, -7.0, 1e-30, 1e38])
def test_equal_rewards_are_in_one_bin(tmp_path, rewards_of, write_rewards, value):
    write_rewards(tmp_path / "rewards", [rewards_of([([value] * 3, [value])])])
    table = distribution_table(open_sources([tmp_path / "rewards"])[0])
    assert table["tokens"].to_list() == [0, 3, 0, 0, 1, 0]
    figure = make_figure("distribution", [tmp_path / "rewards"])
    assert b"tail" not in figure.picture("svg")
    assert "tails" not in figure.caption


def test_counts_equal_those_of_a_query(data):
    answer = query("SELECT side, reward, COUNT(*) FROM tokens GROUP BY side, reward", {"pairs": data.folder}).collect()
    for row in distribution_table(data.source).iter_rows(named=True):
        counts = [
            count
            for side, reward, count in answer.rows()
            if side == row["side"] and within(reward, row["bin_low"], row["bin_high"])
        ]
        assert row["tokens"] == sum(counts)


def test_the_caption_has_means_and_medians(data):
    chosen, rejected = ([reward for pair in data.pairs for reward in pair[place]] for place in (0, 1))
    caption = make_figure("distribution", [data.folder]).caption
    assert f"Mean reward of a token: chosen {mean(chosen):+.3g}, rejected {mean(rejected):+.3g}" in caption
    assert f"median: chosen {median(chosen):+.3g}, rejected {median(rejected):+.3g}." in caption
    assert f"{len(chosen) + len(rejected):,} response tokens" in caption


def test_tails_are_drawn_and_named(drawn):
    figure = make_figure("distribution", [drawn.folder])
    rows = figure.table.filter(side="chosen")
    high, tail = rows["bin_low"].to_list()[-1], rows["tokens"].to_list()[-1]
    assert tail == 1  # the outlier
    assert f"from {high:.4g} on (chosen {tail / rows['tokens'].sum():.2%}, rejected 0.00%)" in figure.caption
    assert f"tail: \N{GREATER-THAN OR EQUAL TO} {high:.3g}" in figure.picture("svg").decode()
