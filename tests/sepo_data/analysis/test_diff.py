"""The comparison of two directories, worked out by hand and against a plain reference."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepo_data.analysis.diff import Correlation, DifferingPair, Overlap, diff, report
from sepo_data.errors import SepoError
from sepo_data.selection.quota import Quota
from sepo_data.selection.select import select


@pytest.fixture
def make(tmp_path, rewards_of, write_rewards):
    """Write a rewards directory, a list of pairs a shard; pairs are numbered through."""

    def write(name, *shards, numbers=None):
        tables, at = [], 0
        for pairs in shards:
            rows = [rewards_of([pair], first=numbers[at + i] if numbers else at + i) for i, pair in enumerate(pairs)]
            tables.append(type(rows[0]).from_batches([batch for row in rows for batch in row.to_batches()]))
            at += len(pairs)
        write_rewards(tmp_path / name, tables)
        return tmp_path / name

    return write


A = [([4.0, 3.0, 2.0, 1.0], [-2.0, -1.0]), ([1.0, 2.0, 3.0, 4.0], [1.0])]
B = [([4.0, 3.0, 1.0, 2.0], [-1.0, -2.0]), ([1.0, 2.0, 3.0, 4.0], [5.0])]


def test_two_pairs_written_out(make):
    found = diff(make("a", A), make("b", B))
    assert (found.pairs, found.only_a, found.only_b) == (2, 0, 0)
    # Spearman: chosen 1 - 6 * 2 / (4 * 15) = 0.8 and 1; rejected -1, and undefined for one token
    assert found.correlations == [
        Correlation("chosen", 2, pytest.approx(0.9)),
        Correlation("rejected", 1, pytest.approx(-1.0)),
        Correlation("together", 3, pytest.approx(0.8 / 3)),
    ]
    overlaps = {(one.share, one.side): one for one in found.overlaps}
    assert len(overlaps) == 4 * 3
    # 30%: one token a response. Chosen: the same in both pairs; by chance 1/4 + 1/4 of 2 and 2
    assert overlaps["30%", "chosen"] == Overlap("30%", "chosen", 2, 2, 2, 1.0, pytest.approx(0.5 / 3.5))
    # rejected: position 0 against 1, and the only token; by chance 1/2 + 1 of 2 and 2
    assert overlaps["30%", "rejected"] == Overlap("30%", "rejected", 2, 2, 1, pytest.approx(1 / 3), 1.5 / 2.5)
    assert overlaps["30%", "together"] == Overlap("30%", "together", 4, 4, 3, pytest.approx(3 / 5), 2 / 6)
    # 50%: two of each chosen response, the same ones
    assert overlaps["50%", "chosen"] == Overlap("50%", "chosen", 4, 4, 4, 1.0, pytest.approx(2 / 6))
    # pair 0 at 30%: one of the two chosen and two rejected selections in both; margins 10 + 3; pair 1: 10 - 1, 10 - 5
    assert found.differing == [
        DifferingPair(f"{0:016x}", 0, pytest.approx(1 / 3), pytest.approx(-0.1), 13.0, 13.0),
        DifferingPair(f"{1:016x}", 1, 1.0, pytest.approx(1.0), 9.0, 5.0),
    ]
    assert [pair.source_row for pair in diff(make("c", A), make("d", B), pairs=1).differing] == [0]


def test_stored_masks_of_two_selections(make, tmp_path):
    select(make("a", A), tmp_path / "sa", chosen="50%", rejected="50%")
    select(make("b", B), tmp_path / "sb", chosen="25%", rejected="100%")
    found = diff(tmp_path / "sa", tmp_path / "sb")
    stored = {one.side: one for one in found.overlaps if one.share == "stored"}
    # chosen: two of each against the first of them; rejected: one of two and one of one against all three
    assert stored["chosen"] == Overlap("stored", "chosen", 4, 2, 2, 0.5, pytest.approx(1 / 5))
    assert stored["rejected"] == Overlap("stored", "rejected", 2, 3, 2, pytest.approx(2 / 3), 2 / 3)
    # pair 0: 1 + 1 in both of 2 + 2 in any; pair 1: 1 + 1 of 2 + 1
    assert [pair.jaccard for pair in found.differing] == [0.5, pytest.approx(2 / 3)]
    # without masks on one side they are not compared
    assert {one.share for one in diff(tmp_path / "a", tmp_path / "sb").overlaps} == {"10%", "20%", "30%", "50%"}


def test_pairs_in_another_order_and_other_shards(make):
    numbers = [3, 0, 2, 1]
    pairs = [([float(n), 1.0, -2.0], [float(-n), 0.5]) for n in range(4)]
    a = make("a", pairs[:1], pairs[1:3], pairs[3:])
    b = make("b", [pairs[n] for n in numbers[:2]], [pairs[n] for n in numbers[2:]], numbers=numbers)
    found = diff(a, b)
    assert (found.pairs, found.only_a, found.only_b) == (4, 0, 0)
    assert all(one.mean == pytest.approx(1.0) for one in found.correlations)
    assert all(one.jaccard == 1.0 for one in found.overlaps)
    assert all(pair.margin_a == pair.margin_b for pair in found.differing)


def test_pairs_of_one_directory_alone_and_twins(make):
    one, other = ([1.0, 2.0], [3.0]), ([2.0, 1.0], [3.0])
    a = make("a", [one, other, one], [one], numbers=[7, 7, 8, 7])
    b = make("b", [one, other], [one], numbers=[7, 7, 9])
    found = diff(a, b)
    # the first 7 with the first, the second with the second; the third, and 8, are alone, as is 9
    assert (found.pairs, found.only_a, found.only_b) == (2, 2, 1)
    assert found.correlations[0] == Correlation("chosen", 2, pytest.approx(1.0))


def test_nothing_in_common(make):
    with pytest.raises(SepoError, match="share no pair"):
        diff(make("a", A, numbers=[0, 1]), make("b", B, numbers=[2, 3]))


def test_other_tokens_are_refused(make):
    a = make("a", [A[0], ([1.0, 2.0], [1.0])])
    b = make("b", [A[0], ([1.0, 2.0, 3.0], [1.0])])
    with pytest.raises(SepoError, match=f"pair {1:016x} has other chosen tokens") as caught:
        diff(a, b)
    assert "same tokenizer" in caught.value.hint


def test_no_order_to_compare(make):
    flat = make("a", [([1.0, 1.0], [2.0])])
    found = diff(flat, make("b", [([3.0, 4.0], [2.0])]))
    assert found.correlations == [Correlation(side, 0, None) for side in ("chosen", "rejected", "together")]
    assert found.differing[0].correlation is None
    assert any("null" in line for line in report(found))


def test_report(make):
    lines = list(report(diff(make("a", A), make("b", B))))
    assert lines[0] == "2 pairs in both, 0 only in the first, 0 only in the second"
    assert "chosen            2       0.9" in lines
    assert all(line == line.rstrip() for line in lines)
    none = list(report(diff(make("c", A), make("d", B), pairs=0)))
    assert "Pairs that differ most" not in none


def spearman(a, b):
    """Pearson's correlation of the ranks, ties sharing their mean rank."""
    ranks = [[np.mean([r for r, v in enumerate(sorted(x), 1) if v == value]) for value in x] for x in (a, b)]
    return None if min(map(np.std, ranks)) == 0 else np.corrcoef(*ranks)[0, 1]


REWARDS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=7)


@pytest.mark.slow
@given(pairs=st.lists(st.tuples(REWARDS, REWARDS), min_size=1, max_size=5), cut=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_equals_a_plain_reference(pairs, cut, tmp_path_factory, rewards_of, write_rewards):
    folder = tmp_path_factory.mktemp("diff")
    for number, name in enumerate("ab"):
        rows = [tuple([float(values[number]) for values in side] for side in pair) for pair in pairs]
        tables = [rewards_of(rows[start : start + cut], first=start) for start in range(0, len(rows), cut)]
        write_rewards(folder / name, tables)
    found = diff(folder / "a", folder / "b")
    defined = [value for pair in pairs for side in pair if (value := spearman(*zip(*side, strict=True))) is not None]
    together = found.correlations[2]
    assert together.responses == len(defined)
    assert together.mean == (pytest.approx(np.mean(defined), abs=1e-9) if defined else None)
    for share, points in {"10%": 1000, "50%": 5000}.items():
        in_both = selected = 0
        for pair in pairs:
            for side, sign in zip(pair, (-1, 1), strict=True):
                k = Quota(basis_points=points).k_of(len(side))
                tops = [
                    set(sorted(range(len(side)), key=lambda at, n=number, s=sign, v=side: (s * v[at][n], at))[:k])
                    for number in (0, 1)
                ]
                selected, in_both = selected + k, in_both + len(tops[0] & tops[1])
        [overlap] = [one for one in found.overlaps if (one.share, one.side) == (share, "together")]
        assert (overlap.selected_a, overlap.selected_b, overlap.in_both) == (selected, selected, in_both)
        assert overlap.jaccard == pytest.approx(in_both / (2 * selected - in_both))


def test_the_report_is_a_frame_of_plain_values(make):
    found = diff(make("a", A), make("b", B))
    assert pl.DataFrame(found.overlaps).columns == [
        "share", "side", "selected_a", "selected_b", "in_both", "jaccard", "chance",
    ]  # fmt: skip
