"""Long rows: a mask has the size of all pairs of tokens, so rows beyond a limit have none."""

import pytest

from sepo_train.engine.attention import attention_inputs
from sepo_train.engine.layout import Tree, split_rows
from sepo_train.engine.layout_policy import MASKED_TOKENS, NO_LIMIT, LayoutPolicy


@pytest.mark.parametrize("policy", [LayoutPolicy(NO_LIMIT), LayoutPolicy(NO_LIMIT, windowed=True), LayoutPolicy(0)])
def test_long_rows_run_alone_and_without_a_mask(policy, llama):
    long = Tree([5] * 20, ([6] * MASKED_TOKENS, [7]))
    layout = policy.layout([long])
    assert layout.one_row_at_a_time
    for row in split_rows(layout):
        mask = attention_inputs(llama, row)["attention_mask"]
        assert mask.numel() == row.input_ids.numel(), "a number a token, not a number a pair of tokens"
        assert mask.all()


def test_short_rows_share_their_prompt_as_before():
    short = Tree([5] * 20, ([6] * 30, [7]))
    assert LayoutPolicy(NO_LIMIT).layout([short]).shared
    assert not LayoutPolicy(0).layout([short]).one_row_at_a_time


def test_a_long_tree_that_shares_is_as_long_as_its_padded_rows():
    long = Tree([5] * 20, ([6] * MASKED_TOKENS, [7]))
    assert LayoutPolicy(NO_LIMIT).length(long) == long.padded_length
