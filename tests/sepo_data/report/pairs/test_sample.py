"""The pairs that the page shows."""

import pytest

from sepo_data.errors import SepoError
from sepo_data.report.pairs.sample import find_places
from sepo_data.report.source import open_sources


def test_pairs_are_spread_evenly_and_the_same_each_time(drawn):
    places = find_places([drawn.source])
    assert len(places) == 60
    rows = places.sampled(7).rows(0).to_list()
    assert rows == [0, 8, 17, 25, 34, 42, 51]  # floor(place * 60 / 7)
    assert rows == find_places([drawn.source]).sampled(7).rows(0).to_list()
    assert places.sampled(60) is places
    assert places.sampled(100) is places
    assert len(places.sampled(0)) == 0


def test_the_rows_of_several_shards_are_read_where_they_are(drawn):
    places = find_places([drawn.source]).sampled(20)
    [frame] = places.frames([["pair_id", "chosen_ids", "rejected_ids", "chosen_rewards"]])
    rows = places.rows(0).to_list()
    assert frame["pair_id"].to_list() == [f"{row:016x}" for row in rows]
    assert frame["chosen_rewards"].to_list() == [drawn.pairs[row][0] for row in rows]


def test_pairs_of_several_directories_are_matched(tmp_path, rewards_of, write_rewards):
    """The second directory has them in another order, and one pair that the first has not."""
    pairs = [([0.5, 1.0], [0.25]), ([1.0], [2.0]), ([3.0], [4.0])]
    write_rewards(tmp_path / "a", [rewards_of(pairs)])
    other = [rewards_of([pair], first=number) for number, pair in ((9, pairs[0]), (2, pairs[2]), (0, pairs[0]))]
    write_rewards(tmp_path / "b", other)
    places = find_places(open_sources([tmp_path / "a", tmp_path / "b"]))
    assert (places.rows(0).to_list(), places.rows(1).to_list()) == ([0, 2], [2, 1])
    columns = ["pair_id", "chosen_ids", "rejected_ids"]
    a, b = places.frames([columns, columns])
    assert a["pair_id"].to_list() == b["pair_id"].to_list() == ["0" * 16, "0" * 15 + "2"]


def test_directories_without_a_common_pair_cannot_be_compared(tmp_path, rewards_of, write_rewards):
    for first, name in enumerate("ab"):
        write_rewards(tmp_path / name, [rewards_of([([0.5], [0.25])], first=first)])
    with pytest.raises(SepoError, match="share no pair"):
        find_places(open_sources([tmp_path / "a", tmp_path / "b"]))
