"""The line of a pair in the list."""

import pytest

from sepo_data.report.pairs.preview import LONGEST, preview


@pytest.mark.parametrize(
    ("prompt", "line"),
    [
        ("  Tea,\n or  coffee?\x1b", "Tea, or coffee?\\x1b"),
        ([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Tea?"}], "Tea?"),
        ([{"role": "user", "content": "Tea?"}, {"role": "assistant", "content": None}], "Tea?"),
        ([{"role": "assistant", "content": " "}], ""),
        ([], ""),
        (None, ""),
        ("x" * 1000, "x" * LONGEST),
    ],
)
def test_a_pair_is_named_by_what_it_asks(prompt, line):
    assert preview(prompt) == line
