"""Accuracy and margin of the oracle by length, against a plain loop and queries."""

from __future__ import annotations

from math import sqrt
from statistics import mean, stdev

import pyarrow as pa
import pytest

from sepo_data.analysis.query import query
from sepo_data.report.figure import make_figure
from sepo_data.report.figures.accuracy import accuracy_table
from sepo_data.report.source import open_sources

BINS = ((1, 15), (16, 31), (32, 63), (64, 127), (128, 255))


@pytest.fixture(scope="session")
def known(tmp_path_factory, rewards_of, write_rewards, texts):
    """Rewards in two shards, every third pair without a record of the oracle's; margins of 0 among them."""
    lengths = [1, 7, 8, 15, 16, 17, 31, 33, 40, 63, 64, 100, 128]
    pairs = [([((n * 7) % 5 - 2) / 4] * a, [((n * 3) % 5 - 2) / 4] * a) for n, a in enumerate(lengths * 4)]
    pairs = [(chosen, rejected + [0.0] * (n % 2)) for n, (chosen, rejected) in enumerate(pairs)]
    tables = []
    for first, last in ((0, 20), (20, len(pairs))):
        table = rewards_of(pairs[first:last], first=first)
        seen = pa.array([None if n % 3 == 0 else n % 2 == 0 for n in range(first, last)])
        tables.append(table.set_column(table.column_names.index("oracle_seen"), table.field("oracle_seen"), seen))
    folder = tmp_path_factory.mktemp("known") / "rewards"
    write_rewards(folder, tables, tokenizer=texts)
    return folder, pairs


def groups_of(pairs):
    """The (group, low) and the margin of every pair."""
    for n, (chosen, rejected) in enumerate(pairs):
        group = "unknown" if n % 3 == 0 else "seen" if n % 2 == 0 else "unseen"
        length = (len(chosen) + len(rejected)) // 2
        [low] = [low for low, high in BINS if low <= length <= high]
        yield group, low, sum(chosen) - sum(rejected)


def wilson(p, n, z=1.959963984540054):
    centre, half = p + z**2 / (2 * n), z * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)


def test_a_plain_loop_finds_the_same(known):
    folder, pairs = known
    table = accuracy_table(open_sources([folder])[0])
    expected = {}
    for group, low, margin in groups_of(pairs):
        for key in ((group, low), (group, None), ("all", None)):
            expected.setdefault(key, []).append(margin)
    assert set(table.select("group", "from_tokens").rows()) == set(expected)
    assert table.height == len(expected)
    for row in table.iter_rows(named=True):
        margins = expected[row["group"], row["from_tokens"]]
        n, right, ties = len(margins), sum(m > 0 for m in margins), sum(m == 0 for m in margins)
        assert (row["pairs"], row["right"], row["ties"]) == (n, right, ties)
        p = (right + ties / 2) / n
        assert row["accuracy"] == pytest.approx(p)
        assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx(wilson(p, n), abs=1e-12)
        assert row["mean_margin"] == pytest.approx(mean(margins), abs=1e-6)
        if n > 1:
            half = 1.959963984540054 * stdev(margins) / sqrt(n)
            bounds = (mean(margins) - half, mean(margins) + half)
            assert (row["margin_low"], row["margin_high"]) == pytest.approx(bounds, abs=1e-5)
        else:
            assert row["margin_low"] is row["margin_high"] is None
        if row["from_tokens"] is not None:
            assert (row["from_tokens"], row["to_tokens"]) in BINS
    assert sum(margin == 0 for _, _, margin in groups_of(pairs)) > 2


def test_rows_are_bins_of_groups_and_then_all_lengths(known):
    table = accuracy_table(open_sources([known[0]])[0])
    assert table["group"].to_list()[-4:] == ["seen", "unseen", "unknown", "all"]
    assert table["from_tokens"].to_list()[-4:] == [None] * 4
    of_seen = table.filter(group="seen")["from_tokens"].to_list()
    assert of_seen[:-1] == sorted(of_seen[:-1])


def test_it_equals_a_query(known):
    table = accuracy_table(open_sources([known[0]])[0])
    sql = (
        "SELECT oracle_seen, COUNT(*) AS pairs, SUM(CAST(margin > 0 AS BIGINT)) AS rights, "
        "AVG(CAST((SIGN(margin) + 1) / 2 AS DOUBLE)) AS accuracy, AVG(CAST(margin AS DOUBLE)) AS mean_margin "
        "FROM pairs GROUP BY oracle_seen"
    )
    for row in query(sql, {"pairs": known[0]}).collect().iter_rows(named=True):
        group = {True: "seen", False: "unseen", None: "unknown"}[row["oracle_seen"]]
        [ours] = table.filter(table["from_tokens"].is_null(), group=group).iter_rows(named=True)
        assert (ours["pairs"], ours["right"]) == (row["pairs"], row["rights"])
        assert ours["accuracy"] == pytest.approx(row["accuracy"])
        assert ours["mean_margin"] == pytest.approx(row["mean_margin"])


def test_the_picture_has_groups_and_bins(known):
    figure = make_figure("accuracy", [known[0]])
    picture = figure.picture("svg").decode()
    labels = ["seen", "unseen", "unknown", "1\u201315", "16\u201331", "128\u2013255", "all", "accuracy"]
    assert all(f">{text}</text>" in picture for text in labels)
    assert "ties as half" in figure.caption
    assert "rewards: 52 pairs" in figure.caption
    assert "18 without a record" in figure.caption


def test_a_group_without_pairs_is_not_in_the_legend(drawn):
    picture = make_figure("accuracy", [drawn.folder]).picture("svg").decode()
    assert ">seen</text>" in picture
    assert ">unknown</text>" not in picture
