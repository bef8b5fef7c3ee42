"""Rewards by position, against a plain loop and against queries."""

from __future__ import annotations

from statistics import mean, stdev

import pytest

from sepo_data.analysis.query import query
from sepo_data.report.figure import make_figure
from sepo_data.report.figures.position import position_table
from sepo_data.report.source import open_sources


@pytest.mark.parametrize("data", ["drawn", "long_responses"])
def test_a_plain_loop_finds_the_same(data, request):
    data = request.getfixturevalue(data)
    table = position_table(data.source)
    longest = max(len(response) for pair in data.pairs for response in pair)
    assert table.filter(side="chosen")["position_high"].to_list()[-1] >= longest - 1
    for row in table.iter_rows(named=True):
        responses = [pair[row["side"] == "rejected"] for pair in data.pairs]
        rewards = [
            reward
            for response in responses
            for place, reward in enumerate(response)
            if row["position_low"] <= place <= row["position_high"]
        ]
        assert row["tokens"] == len(rewards)
        assert row["absolute_reward"] == pytest.approx(sum(map(abs, rewards)))
        assert row["mean_reward"] == (pytest.approx(mean(rewards)) if rewards else None)
        half = 1.959964 * stdev(rewards) / len(rewards) ** 0.5 if len(rewards) > 1 else None
        assert (row["low"], row["high"]) == (
            (None, None) if half is None else pytest.approx((mean(rewards) - half, mean(rewards) + half), abs=1e-6)
        )


def test_the_bins_double(long_responses):
    rows = position_table(long_responses.source).filter(side="rejected").select("position_low", "position_high").rows()
    assert rows[:6] == [(0, 0), (1, 1), (2, 3), (4, 7), (8, 15), (16, 31)]
    assert rows[-1] == (128, 255)


def test_counts_and_means_equal_those_of_a_query(long_responses):
    sql = "SELECT side, position, COUNT(*) AS n, SUM(CAST(reward AS DOUBLE)) AS r FROM tokens GROUP BY side, position"
    answer = query(sql, {"pairs": long_responses.folder}).collect().rows()
    for row in position_table(long_responses.source).iter_rows(named=True):
        places = range(row["position_low"], row["position_high"] + 1)
        found = [(tokens, reward) for side, place, tokens, reward in answer if side == row["side"] and place in places]
        counted, total = (sum(column) for column in zip(*found, strict=True))
        assert row["tokens"] == counted
        assert row["mean_reward"] == pytest.approx(total / counted)


def test_single_tokens_have_no_interval(tmp_path, rewards_of, write_rewards):
    write_rewards(tmp_path / "rewards", [rewards_of([([0.5], [-0.5, 1.0])])])
    table = position_table(open_sources([tmp_path / "rewards"])[0])
    assert table.select("side", "tokens", "mean_reward", "low").rows() == [
        ("chosen", 1, 0.5, None),
        ("chosen", 0, None, None),
        ("rejected", 1, -0.5, None),
        ("rejected", 1, 1.0, None),
    ]
    figure = make_figure("position", [tmp_path / "rewards"])
    assert figure.picture("svg")
    assert "95% intervals of the mean over tokens" in figure.caption
