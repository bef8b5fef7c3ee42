"""Rows, masks and batches, each written out by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sepo_train.engine.attention import branch_mask
from sepo_train.engine.layout import Tree, batches_by_tokens, padded_layout, shared_layout, split_rows

# Prompt of 2 tokens; branches of 3, 1 and 2. The last wanted token of each branch is predicted, never fed.
TREE = Tree([10, 11], ([20, 21, 22], [30], [40, 41]))


def test_a_tree_in_one_row():
    layout = shared_layout([TREE])
    assert layout.input_ids.tolist() == [[10, 11, 20, 21, 40]]
    assert layout.segments.tolist() == [[0, 0, 1, 1, 3]]
    assert layout.position_ids.tolist() == [[0, 1, 2, 3, 2]], "positions begin again behind the prompt"
    assert layout.targets.tolist() == [20, 21, 22, 30, 40, 41]
    # 20, 30 and 40 are predicted by the prompt's last token at column 1.
    assert layout.logit_positions.tolist() == [1, 2, 3, 1, 1, 4]
    assert layout.response.tolist() == [0, 0, 0, 1, 2, 2]
    assert (layout.responses, layout.shared) == (3, True)


def test_a_tree_in_a_row_a_response():
    layout = padded_layout([TREE])
    assert layout.input_ids.tolist() == [[10, 11, 20, 21], [10, 11, 0, 0], [10, 11, 40, 0]]
    assert layout.segments.tolist() == [[0, 0, 1, 1], [0, 0, -1, -1], [0, 0, 1, -1]]
    assert layout.targets.tolist() == [20, 21, 22, 30, 40, 41]
    # Row 1 begins at 4 and row 2 at 8 of the flattened rows.
    assert layout.logit_positions.tolist() == [1, 2, 3, 5, 9, 10]
    assert layout.response.tolist() == [0, 0, 0, 1, 2, 2]


def test_rows_apart_have_no_padding():
    first, second, third = split_rows(padded_layout([TREE]))
    assert [row.input_ids.tolist() for row in (first, second, third)] == [
        [[10, 11, 20, 21]],
        [[10, 11]],
        [[10, 11, 40]],
    ]
    assert [row.logit_positions.tolist() for row in (first, second, third)] == [[1, 2, 3], [1], [1, 2]]
    assert [row.targets.tolist() for row in (first, second, third)] == [[20, 21, 22], [30], [40, 41]]
    unwanted = Tree([1], ([2, 3], [4, 5]), ([False, False], [False, True]))
    assert [row.targets.tolist() for row in split_rows(padded_layout([unwanted]))] == [[5]]


def test_rows_end_before_the_last_kept_token():
    tree = Tree([1, 2], ([3, 4, 5, 6], [7, 8]), ([False, True, False, False], [True, False]))
    assert (tree.target_positions(0), tree.target_positions(1)) == ([1], [0])
    assert (list(tree.input_ids_of(0)), list(tree.input_ids_of(1))) == ([3], [])
    assert tree.shared_length == 2 + 1 + 0
    layout = shared_layout([tree])
    assert layout.input_ids.tolist() == [[1, 2, 3]]
    assert layout.targets.tolist() == [4, 7]
    assert layout.logit_positions.tolist() == [2, 1]


def test_a_response_without_wanted_tokens_keeps_its_number():
    layout = shared_layout([Tree([1], ([2, 3], [4]), ([False, False], [True])), Tree([5], ([6], [7]))])
    assert layout.targets.tolist() == [4, 6, 7]
    assert layout.response.tolist() == [1, 2, 3]
    assert layout.responses == 4


def test_mask_by_hand():
    # Prompt, first branch, second branch of one token each, then padding.
    mask = branch_mask(torch.tensor([[0, 1, 2, -1]]), torch.float32)
    assert mask.shape == (1, 1, 4, 4)
    assert (mask[0, 0] == 0).tolist() == [
        [True, False, False, False],
        [True, True, False, False],
        [True, False, True, False],
        [True, False, False, True],
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_mask_is_additive_and_finite(dtype):
    mask = branch_mask(torch.tensor([[0, 1, 2]]), dtype)
    assert mask.dtype is dtype
    assert torch.isfinite(mask).all()
    assert sorted(set(mask.flatten().tolist())) == [torch.finfo(dtype).min, 0.0]


def test_batches_by_hand():
    # Longest first: 9 alone (2 x 9 > 12), then 5 5 (2 x 5), then 3 2 1 (3 x 3).
    assert batches_by_tokens([5, 1, 9, 3, 5, 2], 12) == [[2], [0, 4], [3, 5, 1]]
    assert batches_by_tokens([50, 1], 12) == [[0], [1]], "a row beyond the budget rides alone"
    assert batches_by_tokens([], 12) == []


@given(st.lists(st.integers(0, 60), max_size=60), st.integers(1, 100))
def test_batches_hold_every_index_once_within_the_budget(lengths, budget):
    batches = batches_by_tokens(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget for batch in batches)
    flat = [lengths[index] for batch in batches for index in batch]
    assert flat == sorted(lengths, reverse=True), "the longest come first"
    assert batches == batches_by_tokens(lengths, budget)
