"""Matching of the pairs that several datasets share."""

import pytest
from polars.testing import assert_frame_equal

from sepo_data.errors import SepoError
from sepo_data.stages.directory import read_manifest
from sepo_data.stages.matched_pairs import match_pairs
from sepo_data.stages.shards import read_shards


@pytest.fixture
def opened(tmp_path, rewards_of, write_rewards):
    """Write a rewards directory, a list of pair numbers a shard, and open its shards; a pair's rewards are its number.

    `scale` multiplies the rewards, `tokens` is the length of the chosen responses.
    """

    def write(name, *shards, scale=1.0, tokens=2):
        tables = []
        for numbers in shards:
            rows = [rewards_of([([scale * n] * tokens, [-scale * n])], first=n) for n in numbers]
            tables.append(type(rows[0]).from_batches([batch for row in rows for batch in row.to_batches()]))
        write_rewards(tmp_path / name, tables)
        return read_shards(tmp_path / name, read_manifest(tmp_path / name))

    return write


def numbers(frame):
    """The number of each pair."""
    return [int(pair_id, 16) for pair_id in frame["pair_id"]]


def test_pairs_of_three_datasets_in_different_orders(opened):
    a = opened("a", [0, 1, 2], [3, 4])
    b = opened("b", [4, 2], [0, 5, 3, 1], scale=10.0)
    c = opened("c", [3], [1], [0, 4], scale=100.0)
    matched = match_pairs([a, b, c], "abc")
    assert len(matched) == 4
    assert matched.rows == [5, 6, 4]
    frames = list(matched.frames(["pair_id", "chosen_rewards", "source_row"]))
    assert [[numbers(one) for one in of_shard] for of_shard in frames] == [[[0, 1]] * 3, [[3, 4]] * 3]
    for of_shard in frames:
        for frame, scale in zip(of_shard, (1, 10, 100), strict=True):
            assert frame.columns == ["pair_id", "chosen_rewards", "source_row"]
            assert frame["chosen_rewards"].to_list() == [[scale * n] * 2 for n in numbers(frame)]


def test_copies_are_matched_in_their_order(opened):
    matched = match_pairs([opened("a", [7, 7, 8], [7]), opened("b", [9, 7], [7])], "ab")
    assert numbers(matched.places) == [7, 7]
    assert matched.places.select("occurrence", "file_0", "row_0", "file_1", "row_1").rows() == [
        (0, 0, 0, 0, 1),
        (1, 0, 1, 1, 0),
    ]


def test_a_dataset_with_itself_is_not_copied(opened):
    shards = opened("a", [0, 1], [2])
    matched = match_pairs([shards, shards], "aa")
    for shard, found in zip(shards, matched.frames(["chosen_ids"]), strict=True):
        for frame in found:
            assert_frame_equal(frame, shard.frame(["chosen_ids"]))


def test_some_of_the_pairs(opened):
    matched = match_pairs([opened("a", [0, 1], [2, 3]), opened("b", [3, 2, 1, 0])], "ab")
    some = matched.places[[3, 1]]
    assert [numbers(frame) for found in matched.frames(["pair_id"], some) for frame in found] == [[3], [3], [1], [1]]


def test_no_pair_in_all_of_them(opened):
    shards = [opened("a", [0, 1]), opened("b", [1, 2]), opened("c", [2, 0])]
    with pytest.raises(SepoError, match=r"^a, b and c share no pair$") as caught:
        match_pairs(shards, "abc")
    assert "scored from the same data" in caught.value.hint
    with pytest.raises(SepoError, match=r"^x/a and b share no pair$"):
        match_pairs([shards[0], opened("d", [5])], ["x/a", "b"])


def test_other_tokens_of_a_pair(opened):
    shards = [opened("a", [0, 1]), opened("b", [1, 0]), opened("c", [1], tokens=3)]
    with pytest.raises(SepoError, match=f"pair {1:016x} has other chosen tokens"):
        list(match_pairs(shards, "abc").frames(["pair_id"]))
