"""A layout is tried on the rows that can tell: what goes wrong with long rows alone is found, whatever comes first."""

import pytest
import torch
from transformers import CONFIG_MAPPING

from sepo_train.engine.choose import choose_layout_policy
from sepo_train.engine.layout_policy import NO_LIMIT, PLAIN, LayoutPolicy
from sepo_train.engine.logps import score_trees

SPARSE = {
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "head_dim": 8,
    "layer_types": ["full_attention", "minimax_m3_sparse"],
    "rotary_dim": 4,
    "index_head_dim": 8,
    "dense_intermediate_size": 64,
    "shared_intermediate_size": 16,
    "max_position_embeddings": 1024,
}


def forgetful(model, beyond):
    """Make `model` forget what it is told of rows of more than `beyond` tokens."""
    forward = model.forward

    def forgetting(**given):
        if given["input_ids"].shape[1] > beyond:
            given = {name: value for name, value in given.items() if name not in ("attention_mask", "position_ids")}
        return forward(**given)

    model.forward = forgetting
    return model


@pytest.fixture(scope="module")
def many(random_trees):
    """Thirty short rows, then one long one of 57 tokens in its longest sequence, and a shorter one."""
    return random_trees(*[(3 + n % 4, 4, 5) for n in range(30)], (20, 37, 30), (16, 20, 21))


@pytest.fixture(params=["llama", "minimax_m3_vl_text"])
def wrong_if_long(request, llama_like, random_trees, many):
    """A model that computes long shared rows otherwise, with rows of both kinds, the short ones first."""
    if request.param == "llama":
        return forgetful(llama_like(), 60), many
    if request.param not in CONFIG_MAPPING:
        pytest.skip("this version of transformers does not have it")
    model = llama_like(request.param, **SPARSE)  # its blocks are 128 tokens of the row
    return model, random_trees(*[(3, 4, 5)] * 8, (60, 90, 110))


@pytest.mark.parametrize("order", ["short first", "long first", "mixed"])
def test_the_order_of_rows_decides_nothing(wrong_if_long, largest_difference, order):
    model, trees = wrong_if_long
    trees = {"short first": trees, "long first": trees[::-1], "mixed": trees[1::2] + trees[::2]}[order]
    policy = choose_layout_policy([model], trees, batch_tokens=256)
    assert policy.reason.startswith("a shared prompt changes log-probabilities by up to ")
    assert score_differs(model, trees, LayoutPolicy(NO_LIMIT)), "if it were shared"
    if "minimax" in type(model).__name__.lower():
        assert largest_difference(score_trees(model, trees, policy, batch_tokens=256), model, trees) < 1e-4
    assert not score_differs(model, trees, policy)


def score_differs(model, trees, policy):
    found, plain = (score_trees(model, trees, each, batch_tokens=size) for each, size in ((policy, 256), (PLAIN, 1)))
    pairs = [pair for both in zip(found, plain, strict=True) for pair in zip(*both, strict=True)]
    return max(float((ours - theirs).abs().max()) for ours, theirs in pairs) > 1e-4


def test_single_tokens_are_judged_in_16_bits(wrong_if_long):
    """A mean over all tokens hides what goes wrong with a few of the last response."""
    model, trees = wrong_if_long
    model.to(torch.bfloat16)
    assert choose_layout_policy([model], trees, batch_tokens=256).reason.startswith("a shared prompt ")


def test_16_bits_alone_turn_nothing_off(llama_like, many):
    for kind in ("llama", "qwen3"):
        assert choose_layout_policy([llama_like(kind).to(torch.bfloat16)], many, batch_tokens=256).reason == ""


def test_the_longest_row_of_several_responses_is_tried_beside_longer_ones(llama, random_trees):
    """A row of one response has nothing to share."""
    trees = random_trees(*[(3, 4, 5)] * 6, (5, 50), (4, 30, 31))
    policy = choose_layout_policy([forgetful(llama, 60)], trees, batch_tokens=256)
    assert policy.reason.startswith("a shared prompt ")


def test_one_token_a_batch_asks_for_the_plain_form(llama, many):
    assert choose_layout_policy([llama], many, batch_tokens=1) == PLAIN
