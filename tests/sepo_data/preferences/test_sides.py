"""The column `split`: the side of every row by a written rule, or an error with the values found."""

import pytest

from sepo_data.errors import SepoError
from sepo_data.preferences.holdout import HOLDOUT, TRAIN
from sepo_data.preferences.sides import SIDE_NAMES, read_sides, side_of

TRAINED = ["train", "Train", " train ", "TRAIN\n", "training", "train_prefs", "train-00000", "train[:90%]", "train.sft"]
HELD_OUT = [
    "holdout",
    "Holdout",
    "HOLDOUT ",
    "hold-out",
    "held_out",
    "held out",
    "heldout",
    "test",
    "Test",
    "test_prefs",
]
HELD_OUT += ["validation", "val", "valid", "dev", "eval", "evaluation", "testing", "test2"]
UNKNOWN = [
    None,
    "",
    " ",
    "x",
    "math",
    "trainer",
    "trained",
    "testimony",
    "train_test",
    "train/holdout",
    "holdout train",
]
UNKNOWN += ["math_test", "1", 0, 1, True, False, 1.5, ["train"], {"a": "train"}]


@pytest.mark.parametrize(
    ("side", "values"), [(TRAIN, TRAINED), (HOLDOUT, HELD_OUT), (None, UNKNOWN)], ids=["train", "holdout", "unknown"]
)
def test_the_side_of_a_value(side, values):
    assert {repr(value): side_of(value) for value in values} == {repr(value): side for value in values}


def test_every_name_has_a_side_in_any_spelling():
    for name, side in SIDE_NAMES.items():
        assert {side_of(name), side_of(f" {name.upper()}\t"), side_of(f"{name}_prefs")} == {side}


@pytest.mark.parametrize(
    ("values", "sides"),
    [
        ([], None),
        (["train", "train"], None),
        (["Train", "training"], None),
        ([None, None], None),
        (["math", "code", None], None),
        ([0, 1, 1], None),
        (["train", "holdout"], [TRAIN, HOLDOUT]),
        (["Train ", "HOLDOUT", "train"], [TRAIN, HOLDOUT, TRAIN]),
        (["train", "test", "validation"], [TRAIN, HOLDOUT, HOLDOUT]),
        (["holdout", "holdout"], [HOLDOUT, HOLDOUT]),
        (["test"], [HOLDOUT]),
    ],
)
def test_a_column_divides_the_rows_or_nothing(values, sides):
    assert read_sides(values, "the input") == sides


@pytest.mark.parametrize("beside", [["train"], ["holdout"], ["train", "holdout"], ["Test", "train"]])
@pytest.mark.parametrize("other", UNKNOWN, ids=repr)
def test_a_row_without_a_side_beside_others_is_refused_with_the_values(beside, other):
    with pytest.raises(SepoError, match="the column split of the input holds 2 ") as caught:
        read_sides([*beside, other, other], "the input")
    message = str(caught.value)
    assert ("null" if other is None else repr(other).strip("'\"")) in message
    assert all(repr(value) in message for value in beside)
    assert "train or holdout" in caught.value.hint
