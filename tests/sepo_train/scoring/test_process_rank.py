"""Processes start with shards of their own."""

import pytest

from sepo_train.scoring.process_rank import Rank, current_rank


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_process_tries_every_shard_and_begins_with_its_own(count):
    orders = [Rank(index, count).order(5) for index in range(count)]
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    firsts = [order[0] for order in orders[:5]]
    assert len(set(firsts)) == len(firsts)


def test_own_shards_come_first():
    assert Rank(1, 3).order(7) == [1, 4, 2, 5, 0, 3, 6]


def test_the_launcher_says_who_this_is(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert current_rank() == Rank(0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert current_rank() == Rank(2, 4)
