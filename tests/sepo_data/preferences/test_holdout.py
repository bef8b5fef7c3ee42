"""Holdout sizes as people write them, and the prompts that a size holds out."""

import pytest

from sepo_data.errors import SepoError
from sepo_data.preferences.duplicates import scan_pairs
from sepo_data.preferences.holdout import HoldoutSize, parse_holdout
from sepo_data.preferences.reading import Reading
from sepo_data.shapes.pairs import Pair


def pair(row, prompt, chosen="c", rejected="r"):
    return Pair(row, prompt, chosen, rejected)


SIZES = {
    "2000": (HoldoutSize(pairs=2000), "2000", 2000),
    "1": (HoldoutSize(pairs=1), "1", 1),
    " 5% ": (HoldoutSize(share=500), "5%", "5%"),
    "0.05": (HoldoutSize(share=500), "5%", "5%"),
    ".5": (HoldoutSize(share=5000), "50%", "50%"),
    "5.00%": (HoldoutSize(share=500), "5%", "5%"),
    "12.5%": (HoldoutSize(share=1250), "12.5%", "12.5%"),
    "0.0001": (HoldoutSize(share=1), "0.01%", "0.01%"),
    "99.99%": (HoldoutSize(share=9999), "99.99%", "99.99%"),
    "0": (HoldoutSize(), "0", 0),
    "0%": (HoldoutSize(), "0", 0),
}


@pytest.mark.parametrize("text", SIZES)
def test_a_share_or_a_number(text):
    size, spelled, option = SIZES[text]
    assert parse_holdout(text) == size
    assert (str(size), size.option) == (spelled, option)
    assert parse_holdout(size.option) == size
    assert bool(size) == (spelled != "0")


def test_numbers_of_python():
    assert parse_holdout(2000) == HoldoutSize(pairs=2000)
    assert parse_holdout(0.05) == HoldoutSize(share=500)
    assert parse_holdout(0.07) == HoldoutSize(share=700), "0.07 * 100 is 7.000000000000001"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("many", "no number of pairs and no share of them: write 2000, 5% or 0.05"),
        ("", "no number of pairs"),
        ("-3", "no number of pairs"),
        ("nan", "no number of pairs"),
        ("inf%", "no number of pairs"),
        ("100%", "leaves nothing to train on"),
        ("1.0", "leaves nothing to train on"),
        ("1.5", "leaves nothing to train on"),
        ("0.00001", "finer than a hundredth of a percent"),
        ("0.123%", "finer than a hundredth of a percent"),
    ],
)
def test_other_texts_say_what_to_write(text, message):
    with pytest.raises(ValueError, match=message):
        parse_holdout(text)
    with pytest.raises(SepoError, match=message):
        Reading("x", holdout=text)


def test_the_number_of_pairs_of_a_share():
    assert parse_holdout("5%").count_of(1000) == 50
    assert parse_holdout("5%").count_of(999) == 49, "floor(49.95)"
    assert parse_holdout("5%").count_of(3) == 1, "at least one"
    assert parse_holdout("7").count_of(3) == 7


def test_one_spelling_in_the_plan():
    assert (
        Reading("x", holdout="0.05").plan() == Reading("x", holdout="5.0%").plan() == {"limit": None, "holdout": "5%"}
    )
    assert Reading("x", holdout="6").plan() == Reading("x", holdout=6).plan() == {"limit": None, "holdout": 6}
    assert Reading("x", holdout="0%").plan() == Reading("x").plan() == {"limit": None}


def sides(pairs, wanted):
    _, holdout = scan_pairs(pairs, dedupe=False, holdout=parse_holdout(wanted))
    return {item.pair_id: holdout.side(item) for item in pairs}, holdout


def test_a_share_is_the_number_of_pairs_that_it_stands_for():
    pairs = [pair(row, f"p{row}") for row in range(60)]
    assert sides(pairs, "10%")[0] == sides(pairs, 6)[0]
    assert list(sides(pairs, "10%")[0].values()).count("holdout") == 6


def test_prompts_are_held_out_with_all_their_pairs():
    pairs = [pair(row, f"p{row % 40}", f"c{row}") for row in range(120)]
    found, holdout = sides(pairs, 10)
    held_out = [item for item in pairs if found[item.pair_id] == "holdout"]
    # 3 pairs of each prompt: the fourth prompt takes it to 12
    assert len(held_out) == 12
    assert len({item.prompt for item in held_out}) == 4
    assert holdout.count == len(held_out)
    assert set(found.values()) == {"train", "holdout"}


def test_the_order_of_rows_does_not_matter_and_more_contains_fewer():
    pairs = [pair(row, f"p{row}") for row in range(60)]
    few, _ = sides(pairs, 7)
    assert list(few.values()).count("holdout") == 7
    assert sides(pairs[::-1], 7)[0] == few
    many, _ = sides(pairs, 20)
    assert all(many[pair_id] == "holdout" for pair_id, side in few.items() if side == "holdout")


def test_skipped_pairs_are_not_held_out():
    pairs = [pair(row, f"p{row % 20}") for row in range(60)]
    _, holdout = scan_pairs(pairs, dedupe=True, holdout=HoldoutSize(5))
    assert holdout.count == 5, "three equal pairs count once"


def test_something_has_to_be_left():
    pairs = [pair(row, f"p{row % 4}", f"c{row}") for row in range(12)]
    assert list(sides(pairs, 9)[0].values()).count("holdout") == 9
    with pytest.raises(SepoError, match="leaves nothing to train on of 12 pairs with 4 prompts"):
        sides(pairs, 10)
