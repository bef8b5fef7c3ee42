"""Rewards that the tests of queries share."""

import pytest

PAIRS = [([0.5, -1.0, 2.0], [1.0]), ([0.25], [-0.5, 0.0])]


@pytest.fixture(scope="session")
def rewards(tmp_path_factory, rewards_of, write_rewards):
    """A rewards directory of `PAIRS`, which tests only read."""
    folder = tmp_path_factory.mktemp("query") / "rewards"
    write_rewards(folder, [rewards_of(PAIRS)])
    return folder
