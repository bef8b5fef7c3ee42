"""Orders of pairs, each against a plain loop, ties included; the disagreement against `diff`."""

import numpy as np
import pyarrow as pa
import pytest

from sepo_data.analysis.diff import diff
from sepo_data.analysis.show.kept import disagreement_of
from sepo_data.analysis.show.order import disagreements, ordered
from sepo_data.analysis.show.pairs import Shares, open_pairs
from sepo_data.analysis.show.sorts import SORTS
from sepo_data.selection.select import select
from sepo_data.stages.scan import scan

ALL = Shares()


@pytest.fixture(scope="module")
def folders(tmp_path_factory, rewards_of, write_rewards, texts):
    """60 pairs in three shards, with ties and copies of a pair; and 40 of them of another oracle, in another order."""
    rng = np.random.default_rng(5)
    sizes = rng.integers(1, 12, (60, 2))

    def rewards():
        return [tuple((rng.integers(-4, 5, size) / 4).tolist() for size in pair) for pair in sizes]

    folder = tmp_path_factory.mktemp("order")
    ids = pa.array([f"{number // 2 * 2 if number < 6 else number:016x}" for number in range(60)])
    copies = {1: 0, 3: 2, 5: 4}  # have the tokens of the pair before
    for name, order in {"a": range(60), "b": [row for row in rng.permutation(60)[:40] if row not in copies]}.items():
        table = rewards_of(rewards()).set_column(0, rewards_of([]).schema.field("pair_id"), ids)
        table = table.take([copies.get(row, row) for row in order])
        write_rewards(folder / name, [table.slice(0, 13), table.slice(13, 13), table.slice(26)], tokenizer=texts)
        select(folder / name, folder / f"{name}-selection", chosen="50%", rejected="20%")
    return folder


def value(row, sort):
    """The number that a pair is sorted by."""
    if sort == "length":
        return len(row["chosen_ids"]) + len(row["rejected_ids"])
    return {"row": row["number"], "margin": row["margin"], "reward": row["chosen_reward"]}[sort]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", [sort for sort in SORTS if sort != "disagreement"])
def test_an_order_is_that_of_a_plain_loop(folders, sort, descending):
    rows = scan(folders / "a").with_row_index("number").collect().to_dicts()
    kept = np.array([number for number in range(60) if number % 7])
    sign = -1 if descending else 1
    expected = sorted(kept.tolist(), key=lambda number: (sign * value(rows[number], sort), number))
    found = ordered(open_pairs([folders / "a"]), kept, sort, descending=descending, shares=ALL)
    assert found.tolist() == expected


def test_two_directories_are_sorted_by_the_first(folders):
    pairs = open_pairs([folders / "b", folders / "a"])
    rows = scan(folders / "b").collect().to_dicts()
    in_a = scan(folders / "a").collect()["pair_id"].to_list()
    assert len(pairs) == len(rows)
    assert [in_a[row] for row in pairs.rows[1]] == [row["pair_id"] for row in rows]
    found = ordered(pairs, np.arange(len(pairs)), "margin", descending=False, shares=ALL)
    assert found.tolist() == sorted(range(len(rows)), key=lambda number: (rows[number]["margin"], number))


@pytest.mark.parametrize("kinds", [("", ""), ("-selection", "-selection"), ("", "-selection"), ("-selection", "")])
@pytest.mark.parametrize("shares", [ALL, Shares(1500, 7000), Shares(1500, 7000, stored=False)])
def test_disagreement_is_that_of_the_masks_that_are_shown(folders, kinds, shares):
    pairs = open_pairs([folders / f"a{kinds[0]}", folders / f"b{kinds[1]}"])
    expected = [disagreement_of(*pairs.read(entry, shares)) for entry in range(len(pairs))]
    assert disagreements(pairs, shares).tolist() == pytest.approx(expected)
    assert len(set(expected)) > 5


@pytest.mark.parametrize("kind", ["", "-selection"])
def test_disagreement_is_that_of_diff(folders, kind):
    a, b = folders / f"a{kind}", folders / f"b{kind}"
    pairs = open_pairs([a, b])
    found = diff(a, b, pairs=len(pairs))
    assert sorted(disagreements(pairs, ALL).tolist()) == pytest.approx(
        sorted(1 - each.jaccard for each in found.differing)
    )
