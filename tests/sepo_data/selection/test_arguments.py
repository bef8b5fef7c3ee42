"""Numbers and calls as text that are far too large: one short error, at once."""

import numpy as np
import pytest

from sepo_data.errors import SepoError
from sepo_data.preferences.holdout import parse_holdout
from sepo_data.selection.arguments import finite_number, whole_number
from sepo_data.selection.filters.protect_tokens import protect_tokens
from sepo_data.selection.filters.skip_tokens import skip_tokens
from sepo_data.selection.filters.whole_words import whole_words
from sepo_data.selection.parse import grid_rules, parse_rule
from sepo_data.share import parse_share

HUGE = ["9" * 400, "9" * 5000, "1e999999999", "1e-999999999", "nan", "inf", "-1e999999999", "1e999"]


@pytest.mark.parametrize("text", HUGE)
def test_huge_numbers(text):
    for parse in (parse_share, parse_holdout):
        with pytest.raises(ValueError, match=r"\S"):
            parse(text)
        with pytest.raises(ValueError, match=r"\S"):
            parse(f"{text}%")
    for size in (text, f"{text}%", f"{text}t"):
        with pytest.raises(SepoError):
            parse_rule(f"top({size})")
    with pytest.raises(SepoError):
        whole_number("seed", text)


@pytest.mark.parametrize("text", ["nan", "1e999", "-inf", "9" * 400])
def test_numbers_that_are_not_finite(text):
    with pytest.raises(SepoError, match="is not a number"):
        finite_number("above", text)


CALLS = {
    "arguments": f"top({','.join(['1%'] * 50_000)})",
    "names": f"top({','.join(f'a{n}=1%' for n in range(50_000))})",
    "brackets": "top(" * 50_000 + ")" * 50_000,
    "a name": "x" * 200_000,
    "blanks": " " * 200_000 + "!",
}


@pytest.mark.parametrize("text", CALLS.values(), ids=CALLS)
def test_long_calls(text):
    with pytest.raises(SepoError) as caught:
        parse_rule(text)
    assert len(f"{caught.value}{caught.value.hint}") < 1000


def test_a_grid_of_too_many_rules():
    with pytest.raises(SepoError, match="more than 10,000 rules"):
        grid_rules("top", [f"a{n}=1%,2%" for n in range(5000)])


@pytest.mark.parametrize("make", [skip_tokens, protect_tokens])
@pytest.mark.parametrize("text", [" ", " , ", None, ["eos"]])
def test_a_filter_without_a_name(make, text):
    with pytest.raises(SepoError, match="tokens") as caught:
        make(text)
    assert caught.value.hint.startswith("write the names with commas: ")


def test_a_flag_of_numpy_is_recorded_as_one_of_python():
    assert whole_words(np.True_).value is True
    for wrong in (1, "yes", None):
        with pytest.raises(SepoError, match=r"whole_words: on is .*, not True or False"):
            whole_words(wrong)
