"""Tokens that the rule `top` keeps at every share, against a plain loop and against the masks of `sepo select`."""

from __future__ import annotations

from math import fsum

import polars as pl
import pytest

from sepo_data.report.kept_by_share import kept_by_share
from sepo_data.selection.rules.top import top
from sepo_data.stages.scan import scan


def plain_rows(pairs):
    """The method as its authors describe it: sort each response, take its best tokens."""
    rows = []
    for place, side in enumerate(("chosen", "rejected")):
        for percent in range(1, 101):
            kept = []
            for pair in pairs:
                ordered = sorted(pair[place], reverse=side == "chosen")
                kept += ordered[: max(1, len(ordered) * percent // 100)]
            rows.append((side, percent, len(kept), fsum(kept), fsum(map(abs, kept))))
    return rows


@pytest.mark.parametrize("data", ["drawn", "long_responses"])
def test_a_plain_loop_finds_the_same(data, request):
    drawn = request.getfixturevalue(data)
    table = kept_by_share(drawn.source)
    assert table.schema == {
        "side": pl.String(),
        "share_percent": pl.Int32(),
        "tokens": pl.Int64(),
        "reward": pl.Float64(),
        "absolute_reward": pl.Float64(),
    }
    assert table.rows() == [pytest.approx(row) for row in plain_rows(drawn.pairs)]


def test_the_masks_of_the_rule_keep_the_same(long_responses):
    rewards = scan(long_responses.folder)
    for row in kept_by_share(long_responses.source).iter_rows(named=True):
        side = row["side"]
        masked = top(f"{row['share_percent']}%").with_masks(rewards).collect()
        kept = masked.select(pl.col(f"{side}_rewards").explode().filter(pl.col(f"{side}_mask").explode())).to_series()
        assert row["tokens"] == len(kept)
        assert row["reward"] == pytest.approx(kept.cast(pl.Float64).sum())
        assert row["absolute_reward"] == pytest.approx(kept.cast(pl.Float64).abs().sum())


def test_a_sum_of_large_and_small_rewards_keeps_the_small_ones(tmp_path, rewards_of, write_rewards):
    """In float32 the sum of 2^24 and 1 is 2^24."""
    from sepo_data.report.source import open_sources

    write_rewards(tmp_path / "rewards", [rewards_of([([2.0**24] + [1.0] * 9, [-1.0])])])
    table = kept_by_share(open_sources([tmp_path / "rewards"])[0])
    assert table.filter(side="chosen", share_percent=100)["reward"].to_list() == [2.0**24 + 9]
