"""The first numbers of the page against plain loops."""

import math

import pytest

from sepo_data.report.figures.accumulation import accumulation_table
from sepo_data.report.kept_by_share import kept_by_share
from sepo_data.report.page.headlines import carried_shares, numbers_html, oracle_table, stored_sums
from sepo_data.report.source import open_sources


def test_the_oracle_is_measured_on_unseen_and_on_seen_pairs(drawn):
    table = oracle_table(drawn.source).to_dicts()
    margins = [sum(chosen) - sum(rejected) for chosen, rejected in drawn.pairs]
    assert [row["oracle_seen"] for row in table] == [False, True]
    for row, first in zip(table, (1, 0), strict=True):  # even rows are seen
        of_group = margins[first::2]
        n, mean = len(of_group), sum(of_group) / len(of_group)
        assert row["pairs"] == n
        assert row["accuracy"] == pytest.approx(sum((m > 0) + (m == 0) / 2 for m in of_group) / n)
        assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
        half = 1.959964 * math.sqrt(sum((m - mean) ** 2 for m in of_group) / (n - 1) / n)
        assert row["mean_margin"] == pytest.approx(mean)
        assert (row["mean_margin_low"], row["mean_margin_high"]) == pytest.approx((mean - half, mean + half))


def test_stored_masks_are_summed_by_side(selected):
    [source] = open_sources([selected])
    # 30% of 5, 1 and 4 chosen tokens, the highest; of 2, 3 and 2 rejected tokens, the lowest.
    assert stored_sums(source) == {
        "chosen": {"tokens": 3, "reward": 2.0 + 0.25 + 1.0, "absolute": 3.25},
        "rejected": {"tokens": 3, "reward": -3.0 - 0.5 - 4.0, "absolute": 7.5},
    }


def test_the_share_that_carries_is_the_one_of_the_figure(drawn):
    table = accumulation_table(drawn.source)
    marked = {row["side"]: row["share_percent"] for row in table.filter("reaches").to_dicts()}
    found = carried_shares(kept_by_share(drawn.source))
    assert found == {side: share for side, share in marked.items() if side in {"chosen", "rejected"}}
    assert found


def test_one_pair_has_no_interval_of_its_margin(tmp_path, rewards_of, write_rewards):
    folder = tmp_path / "rewards"
    write_rewards(folder, [rewards_of([([0.5], [-1.0])])])
    [source] = open_sources([folder])
    html = numbers_html(source, oracle_table(source), None, carried_shares(kept_by_share(source)))
    assert "one pair has no interval" in html
    assert "+1.500" in html
    assert "of 1 pairs" not in html


def test_pairs_without_a_record_are_a_group_of_their_own(tmp_path, rewards_of, write_rewards):
    import pyarrow as pa

    table = rewards_of([([0.5], [-1.0]), ([0.5], [1.0])])
    place = table.schema.get_field_index("oracle_seen")
    table = table.set_column(place, table.schema.field(place), pa.nulls(2, pa.bool_()))
    write_rewards(tmp_path / "rewards", [table])
    [row] = oracle_table(open_sources([tmp_path / "rewards"])[0]).to_dicts()
    assert (row["oracle_seen"], row["pairs"], row["accuracy"]) == (None, 2, 0.5)
