"""Log-probabilities against a loop that anyone can read."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedConfig

from sepo_data.errors import SepoError
from sepo_train.engine.layout import Tree, padded_layout, shared_layout
from sepo_train.engine.layout_policy import NO_LIMIT, PLAIN, LayoutPolicy
from sepo_train.engine.logps import score_trees, token_logps

VOCABULARY = 97
SHARED = NO_LIMIT


@pytest.fixture(scope="module")
def llama(llama_like):
    return llama_like()


@pytest.fixture(scope="module")
def trees(random_trees):
    """One, two and three branches, uneven lengths, one-token prompts and responses."""
    return random_trees((5, 4), (3, 1), (7, 6, 2), (1, 1, 1), (4, 1, 9), (2, 3, 1, 8), (6, 5, 5, 5))


def kept(trees):
    """Two tokens of three are wanted."""
    marks = [[[place % 3 != 1 for place in range(len(side))] for side in tree.responses] for tree in trees]
    return [replace(tree, keep=keep) for tree, keep in zip(trees, marks, strict=True)]


@pytest.mark.parametrize("marked", [list, kept], ids=["all tokens", "kept tokens"])
@pytest.mark.parametrize("layout", [shared_layout, padded_layout])
def test_equals_the_plain_loop(llama, plain_tree, trees, layout, marked):
    wanted = marked(trees)
    with torch.no_grad():
        expected = torch.cat([logps for tree in wanted for logps in plain_tree(llama, tree)])
        assert torch.allclose(token_logps(llama, layout(wanted)).double(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("marked", [list, kept], ids=["all tokens", "kept tokens"])
@pytest.mark.parametrize("layout", [shared_layout, padded_layout])
def test_gradients_equal_the_plain_loop(llama, plain_tree, trees, layout, marked):
    rows = layout(marked(trees))
    weights = torch.linspace(-1, 2, len(rows.targets))

    def gradients(logps):
        return torch.autograd.grad((logps * weights).sum(), list(llama.parameters()))

    plain = torch.cat([logps for tree in marked(trees) for logps in plain_tree(llama, tree)])
    pairs = zip(gradients(token_logps(llama, rows)), gradients(plain), strict=True)
    assert max(float((ours - plain).abs().max() / plain.abs().max()) for ours, plain in pairs) < 1e-4


@settings(max_examples=10)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.lists(st.integers(1, 7), min_size=1, max_size=3)), min_size=1, max_size=4),
    st.integers(1, 60),
)
def test_any_trees_in_any_batches(llama, random_trees, largest_difference, lengths, batch_tokens):
    trees = random_trees(*((prompt, *responses) for prompt, responses in lengths))
    for policy in (PLAIN, LayoutPolicy(SHARED), LayoutPolicy(12)):
        assert largest_difference(score_trees(llama, trees, policy, batch_tokens=batch_tokens), llama, trees) < 1e-5


class LastTokenModel(torch.nn.Module):
    """Its logits are written out: after token t, token v has logit `table[t][v]`."""

    device = torch.device("cpu")
    dtype = torch.float32
    config = PreTrainedConfig()

    def __init__(self, table):
        super().__init__()
        self.table = torch.tensor(table)
        self.head = torch.nn.Identity()

    def get_output_embeddings(self):
        return self.head

    def forward(self, input_ids, **_others):
        output = torch.nn.Module()
        output.logits = self.head(self.table[input_ids])
        return output


@pytest.mark.parametrize("layout", [shared_layout, padded_layout])
def test_value_i_is_of_token_i(layout):
    # Three tokens with probabilities 1/6, 2/6, 3/6 after token 0; 1/4, 1/4, 2/4 after 1; 8/10, 1/10, 1/10 after 2.
    model = LastTokenModel([[math.log(weight) for weight in row] for row in ([1, 2, 3], [1, 1, 2], [8, 1, 1])])
    tree = Tree([1, 0], ([2, 0, 1], [1]))
    # The first token follows the prompt's 0: p(2) = 3/6. Then 0 follows 2: 8/10. The last, 1, follows 0: 2/6.
    expected = [3 / 6, 8 / 10, 2 / 6, 2 / 6]
    assert token_logps(model, layout([tree])).exp().tolist() == pytest.approx(expected)


def test_a_head_bias_alone_gives_its_softmax(random_model):
    model = random_model("phi", hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4)
    bias = torch.arange(VOCABULARY) / 10
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.lm_head.bias.copy_(bias)
    [[first, second]] = score_trees(model, [Tree([5], ([7, 2], [96]))], LayoutPolicy(SHARED), batch_tokens=64)
    total = sum(math.exp(value / 10) for value in range(VOCABULARY))
    assert first.exp().tolist() == pytest.approx([math.exp(0.7) / total, math.exp(0.2) / total], rel=1e-5)
    assert second.exp().tolist() == pytest.approx([math.exp(9.6) / total], rel=1e-5)


def test_scores_do_not_depend_on_neighbours_or_order(llama, random_trees):
    trees = random_trees(*((1 + n % 7, 1 + n % 5, 1 + n % 4) for n in range(12)))
    policy = LayoutPolicy(SHARED)
    alone = [score_trees(llama, [tree], policy, batch_tokens=1)[0] for tree in trees]
    for batch_tokens in (1, 17, 40, 512):
        together = score_trees(llama, trees, policy, batch_tokens=batch_tokens)
        backwards = score_trees(llama, trees[::-1], policy, batch_tokens=batch_tokens)[::-1]
        for one, two, three in zip(alone, together, backwards, strict=True):
            for a, b, c in zip(one, two, three, strict=True):
                assert torch.allclose(a, b, atol=1e-5, rtol=0)
                assert torch.allclose(a, c, atol=1e-5, rtol=0)


class TooBig:
    """Lets a model run out of memory on more than `rows` rows, or more than `tokens` tokens in all."""

    def __init__(self, rows=math.inf, tokens=math.inf):
        self.rows, self.tokens, self.refused = rows, tokens, 0

    def __call__(self, _module, _args, kwargs):
        if len(kwargs["input_ids"]) > self.rows or kwargs["input_ids"].numel() > self.tokens:
            self.refused += 1
            raise torch.OutOfMemoryError("out of memory")


def test_out_of_memory_halves_the_batch_and_goes_on(llama, random_trees):
    trees = random_trees(*((3, 2 + n % 3, 2) for n in range(8)))
    expected = score_trees(llama, trees, LayoutPolicy(SHARED), batch_tokens=512)
    limit = TooBig(rows=2)
    handle = llama.register_forward_pre_hook(limit, with_kwargs=True)
    try:
        reported = []
        found = score_trees(llama, trees, LayoutPolicy(SHARED), batch_tokens=512, on_out_of_memory=reported.append)
        assert limit.refused == 2, "8 rows, then 4; two fit, and no more than two are tried again"
        assert reported == [28, 14], "half of 8 rows of 7 tokens, and of 4"
        limit.rows = 0
        with pytest.raises(SepoError, match="does not fit into memory"):
            score_trees(llama, trees, LayoutPolicy(SHARED), batch_tokens=512)
    finally:
        handle.remove()
    for one, two in zip(expected, found, strict=True):
        assert all(torch.allclose(a, b, atol=1e-5, rtol=0) for a, b in zip(one, two, strict=True))


def test_a_tree_that_is_too_big_is_scored_branch_by_branch(llama, random_trees):
    trees = random_trees((3, 2, 2), (3, 4, 5, 6), (3, 2, 2))
    expected = score_trees(llama, trees, LayoutPolicy(SHARED), batch_tokens=512)

    handle = llama.register_forward_pre_hook(TooBig(tokens=9), with_kwargs=True)
    try:
        found = score_trees(llama, trees, LayoutPolicy(SHARED), batch_tokens=512)
    finally:
        handle.remove()
    for one, two in zip(expected, found, strict=True):
        assert all(torch.allclose(a, b, atol=1e-5, rtol=0) for a, b in zip(one, two, strict=True))


def test_out_of_memory_in_a_long_tree_makes_no_batch_larger(llama, random_trees):
    handle, reported = llama.register_forward_pre_hook(TooBig(tokens=50), with_kwargs=True), []
    try:
        score_trees(
            llama, random_trees((20, 21, 20)), LayoutPolicy(SHARED), batch_tokens=16, on_out_of_memory=reported.append
        )
    finally:
        handle.remove()
    assert reported == [16], "not half of the 60 tokens that were too many"


def test_scoring_has_no_dropout_and_leaves_no_hook(llama, random_model, trees):
    model = random_model("gpt2", n_embd=32, n_layer=2, n_head=4, resid_pdrop=0.5, embd_pdrop=0.5)
    model.train()
    first = score_trees(model, trees, LayoutPolicy(SHARED), batch_tokens=64)
    second = score_trees(model, trees, LayoutPolicy(SHARED), batch_tokens=64)
    assert all(torch.equal(a, b) for one, two in zip(first, second, strict=True) for a, b in zip(one, two, strict=True))
    assert not model.get_output_embeddings()._forward_pre_hooks
    assert llama(input_ids=torch.tensor([[1, 2, 3]])).logits.shape == (1, 3, VOCABULARY), "all logits again"


def test_a_failing_model_leaves_no_hook():
    model = LastTokenModel([[0.0]])
    with pytest.raises(IndexError):
        token_logps(model, padded_layout([Tree([3], ([0],))]))
    assert not model.head._forward_pre_hooks
