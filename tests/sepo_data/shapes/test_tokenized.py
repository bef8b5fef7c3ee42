"""Rows that are token ids already."""

import hashlib

import pytest

from sepo_data.shapes.detect import detect_shape
from sepo_data.shapes.skip_reasons import SkipRow

NEW = {"prompt_ids": [1, 2], "chosen_ids": [3, 4], "rejected_ids": [5]}
OLD = {
    "prompt_input_ids": [1, 2],
    "chosen_input_ids": [1, 2, 3, 4],
    "rejected_input_ids": [1, 2, 5],
    "chosen_labels": [],
}
APART = {"prompt_input_ids": [1, 2], "chosen_input_ids": [3, 4], "rejected_input_ids": [5]}


def shape_of(row):
    return detect_shape(list(row), [row])


@pytest.mark.parametrize("row", [NEW, OLD, APART], ids=["new", "prompt contained", "prompt apart"])
def test_ids(row):
    shape = shape_of(row)
    assert (shape.name, shape.conversational) == ("tokenized", False)
    [pair] = shape.to_pairs(3, row, ())
    assert (pair.source_row, pair.ids) == (3, ([1, 2], [3, 4], [5]))
    assert (pair.prompt, pair.chosen, pair.rejected) == ("", "", "")


def test_ids_as_json_text():
    [pair] = shape_of({name: str(ids) for name, ids in NEW.items()}).to_pairs(
        0, {name: str(ids) for name, ids in NEW.items()}, ()
    )
    assert pair.ids == ([1, 2], [3, 4], [5])


def test_text_goes_before_ids():
    """The ids beside a text are those of some other tokenizer."""
    assert shape_of({"prompt": "q", "chosen": "yes", "rejected": "no", **NEW}).name == "explicit strings"


def test_the_identity_is_that_of_the_ids_until_there_is_a_text():
    [pair] = shape_of(NEW).to_pairs(0, NEW, ())
    assert pair.pair_id == hashlib.sha256(b"[[1,2],[3,4],[5]]").hexdigest()[:16]
    assert pair.prompt_id == hashlib.sha256(b"[1,2]").hexdigest()[:16]


@pytest.mark.parametrize(
    ("row", "change", "reason", "detail"),
    [
        (NEW, {"prompt_ids": []}, "empty_prompt", "no id comes before the response"),
        (NEW, {"chosen_ids": []}, "empty_response", "chosen"),
        (NEW, {"chosen_ids": [5]}, "equal_responses", "chosen is rejected"),
        (NEW, {"chosen_ids": [5, -1]}, "invalid_ids", "chosen_ids[1] is -1"),
        (NEW, {"chosen_ids": [2**31]}, "invalid_ids", "chosen_ids[0] is 2147483648"),
        (NEW, {"chosen_ids": [1.0]}, "invalid_ids", "chosen_ids[0] is 1.0"),
        (NEW, {"chosen_ids": [True]}, "invalid_ids", "chosen_ids[0] is True"),
        (NEW, {"chosen_ids": [None]}, "invalid_ids", "chosen_ids[0] is None"),
        (NEW, {"chosen_ids": [[7]]}, "invalid_ids", "chosen_ids[0] is list"),
        (NEW, {"chosen_ids": "7"}, "wrong_type", "chosen_ids is str, not a list of ids"),
        (NEW, {"chosen_ids": None}, "null", "chosen_ids"),
        (OLD, {"chosen_input_ids": [1, 3]}, "prompt_mismatch", "a response does not begin with prompt_input_ids"),
        (OLD, {"chosen_input_ids": [1, 2]}, "empty_response", "chosen"),
    ],
)
def test_bad_row(row, change, reason, detail):
    with pytest.raises(SkipRow) as caught:
        shape_of(row).to_pairs(0, {**row, **change}, ())
    assert (caught.value.reason, caught.value.detail) == (reason, detail)
