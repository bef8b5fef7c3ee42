"""Directories of the same rewards."""

import pytest

from sepo_data import select
from sepo_data.report.shared_rewards import holders
from sepo_data.report.source import open_sources


@pytest.fixture(scope="module")
def folders(tmp_path_factory, rewards_of, write_rewards):
    """Two oracles of different plans, one of an equal plan with other rewards, and selections of the first."""
    root = tmp_path_factory.mktemp("shared")
    for name, reward, beta in (("first", 0.5, 0.1), ("second", 0.5, 0.2), ("other", 0.75, 0.1)):
        write_rewards(root / name, [rewards_of([([reward, 1.0], [0.25])])], beta=beta)
    select(root / "first", root / "low", chosen="10%", rejected="10%")
    select(root / "first", root / "high", chosen="90%", rejected="90%")
    return root


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["first"], [0]),
        (["first", "second"], [0, 1]),
        (["first", "low", "second", "high"], [0, 0, 2, 0]),
        (["low", "second", "first"], [2, 1, 2]),
        (["low", "high"], [0, 0]),
        (["first", "first"], [0, 0]),
        (["first", "other"], [0, 1]),
    ],
    ids=str,
)
def test_the_rewards_directory_stands_for_its_selections(folders, names, expected):
    assert holders(open_sources([folders / name for name in names])) == expected
