"""The first numbers of the page: of the figures' tables, and of stored masks against a plain list."""

import pyarrow as pa

from sepo_data.report.figures.accumulation import accumulation_table
from sepo_data.report.figures.accuracy import accuracy_table
from sepo_data.report.page.headlines import numbers_html, stored_sums
from sepo_data.report.source import open_sources


def numbers(source, **without) -> str:
    tables = {"accuracy": accuracy_table(source), "accumulation": accumulation_table(source)}
    return numbers_html(source, {name: table for name, table in tables.items() if name not in without}, None)


def test_stored_masks_are_summed_by_side(selected):
    [source] = open_sources([selected])
    # 30% of 5, 1 and 4 chosen tokens, the highest; of 2, 3 and 2 rejected tokens, the lowest.
    sums = {
        "chosen": {"tokens": 3, "reward": 2.0 + 0.25 + 1.0, "absolute": 3.25},
        "rejected": {"tokens": 3, "reward": -3.0 - 0.5 - 4.0, "absolute": 7.5},
    }
    assert stored_sums(source) == sums
    html = numbers_html(source, {}, sums)
    margin = '<dt>Mean margin of the selection</dt><dd class="value">+3.583</dd>'  # (3.25 + 7.5) / 3
    assert margin in html
    assert "Oracle" not in html


def test_unseen_pairs_come_first_and_the_share_that_carries_is_the_one_of_the_figure(drawn):
    html = numbers(drawn.source)
    assert 0 < html.index("Oracle accuracy, unseen pairs") < html.index("Oracle accuracy, seen pairs")
    marked = accumulation_table(drawn.source).filter("reaches").to_dicts()
    sides = {row["side"]: row["share_percent"] for row in marked if row["side"] != "gap"}
    assert sides
    for side, percent in sides.items():
        assert f'<dt>80% of the reward of {side}</dt><dd class="value">{percent}%</dd>' in html
    assert "gap" not in html


def test_a_figure_that_is_left_out_has_no_tile(drawn):
    assert "Oracle accuracy" not in numbers(drawn.source, accuracy=True)
    assert "80%" not in numbers(drawn.source, accumulation=True)
    assert numbers(drawn.source, accuracy=True, accumulation=True) == ""


def test_one_pair_has_no_interval_of_its_margin(tmp_path, rewards_of, write_rewards):
    folder = tmp_path / "rewards"
    write_rewards(folder, [rewards_of([([0.5], [-1.0])])])
    html = numbers(open_sources([folder])[0])
    assert "one pair has no interval" in html
    assert "+1.500" in html
    assert "of 1 pairs" not in html


def test_rewards_of_the_other_sign_are_carried_by_no_share(tmp_path, rewards_of, write_rewards):
    write_rewards(tmp_path / "rewards", [rewards_of([([0.5, -1.0], [-1.0, 2.0])])])
    html = numbers(open_sources([tmp_path / "rewards"])[0])
    for side, total in (("chosen", "more than 0"), ("rejected", "less than 0")):
        note = f'<dd class="from">all rewards of {side} do not add up to {total}</dd>'
        assert f'<dt>80% of the reward of {side}</dt><dd class="value">none</dd>{note}' in html


def test_pairs_without_a_record_are_a_group_of_their_own(tmp_path, rewards_of, write_rewards):
    table = rewards_of([([1.5], [0.0]), ([-0.5], [0.0])])
    place = table.schema.get_field_index("oracle_seen")
    table = table.set_column(place, table.schema.field(place), pa.nulls(2, pa.bool_()))
    write_rewards(tmp_path / "rewards", [table])
    html = numbers(open_sources([tmp_path / "rewards"])[0])
    assert '<dt>Oracle accuracy, pairs without a record</dt><dd class="value">50.0%</dd>' in html
    assert "unseen" not in html
