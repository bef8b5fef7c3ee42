"""Pairs of one directory or of two, by number and by id; their names and shares."""

import pyarrow as pa
import pytest

from sepo_data.analysis.show.pairs import Shares, open_pairs
from sepo_data.console.text import shortened
from sepo_data.errors import SepoError
from sepo_data.selection.select import select

REWARDS = [([float(number), 1.0], [0.5]) for number in range(6)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory, rewards_of, write_rewards, texts):
    """Pairs a b b c d b, and b x b a in another directory."""
    folder = tmp_path_factory.mktemp("pairs")
    for name, ids in {"one": "abbcdb", "other": "bxba"}.items():
        table = rewards_of(REWARDS[: len(ids)])
        table = table.set_column(0, table.schema.field("pair_id"), pa.array(list(ids)))
        write_rewards(folder / name, [table.slice(0, 2), table.slice(2)], tokenizer=texts)
    for name, options in {"top": {"share": "20%"}, "tokens": {"chosen": "2t"}, "random": {"rule": "random"}}.items():
        rule = "random" if "rule" in options else f"top({', '.join(f'{key}={text}' for key, text in options.items())})"
        select(folder / "one", folder / name, rule)
    return folder


def test_pairs_are_found_by_number_and_by_id(folders):
    pairs = open_pairs([folders / "one"])
    assert [pairs.find(pair) for pair in ("0", "5", "a", "b", "d")] == [(0, 1), (5, 1), (0, 1), (1, 3), (4, 1)]
    assert pairs.read(3, Shares())[0].pair_id == "c"


def test_copies_are_matched_in_their_order(folders):
    pairs = open_pairs([folders / "one", folders / "other"])
    assert [rows.tolist() for rows in pairs.rows] == [[0, 1, 2], [3, 0, 2]]
    assert pairs.names == ["one", "other"]
    assert pairs.find("b") == (1, 3)
    assert [shown.row for shown in pairs.read(2, Shares())] == [2, 2]
    with pytest.raises(SepoError, match=r"other has no pair 'c' of .*one") as caught:
        pairs.find("c")
    assert caught.value.hint == "leave --pair out to see the 3 pairs that both have"


def test_names_are_what_differs(folders):
    assert open_pairs([folders / "one", folders / "one"]).names == ["one", "one"]
    assert open_pairs([f"{folders}/one/", f"{folders}/../{folders.name}/one"]).names == [
        "one",
        f"../{folders.name}/one",
    ]
    path = str(folders / "one")
    assert open_pairs([path]).names == [shortened(path, 60)]


@pytest.mark.parametrize(
    ("names", "shares"),
    [
        (["one"], None),
        (["top"], Shares(2000, 2000)),
        (["top", "random"], Shares(2000, 2000)),
        (["one", "top"], None),
        (["tokens"], None),
        (["random"], None),
    ],
)
def test_the_shares_of_stored_masks(folders, names, shares):
    assert open_pairs([folders / name for name in names]).stored_shares() == shares
