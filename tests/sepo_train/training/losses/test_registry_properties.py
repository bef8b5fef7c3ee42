"""Properties of every registered loss: one in a new file of the folder is tested here without another line."""

import itertools

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from sepo_train.engine.layout import Tree, shared_layout
from sepo_train.engine.pair_logps import SideLogps, response_logps
from sepo_train.training.losses import LOSSES
from sepo_train.training.objectives import objective

EXTREME_MEANS = [0.0, -1e-7, -1e-3, -1.0, -60.0, -1e4]
"""From a certain token to one that a model of any size calls impossible, in nats."""

names = pytest.mark.parametrize("name", LOSSES)


def side(means, tokens, ref_means, dtype=torch.float32):
    """A response of each pair, from the means over its tokens; all are lists of one value a pair."""
    means, tokens, ref_means = (torch.tensor(values, dtype=dtype) for values in (means, tokens, ref_means))
    sums = (means * tokens).requires_grad_()
    return SideLogps(sums, sums / tokens, ref_means * tokens, ref_means)


@names
def test_finite_with_finite_gradients_for_extreme_inputs(name):
    cases = list(itertools.product(EXTREME_MEANS, EXTREME_MEANS, EXTREME_MEANS, [1.0, 4000.0]))
    chosen_means, rejected_means, ref_means, tokens = map(list, zip(*cases, strict=True))
    chosen = side(chosen_means, tokens, ref_means)
    rejected = side(rejected_means, tokens[::-1], ref_means)
    loss = objective(name).loss(chosen, rejected)
    assert loss.shape == (len(cases),)
    assert loss.isfinite().all()
    for gradient in torch.autograd.grad(loss.sum(), [chosen.sums, rejected.sums], allow_unused=True):
        assert gradient is None or gradient.isfinite().all()
    for reward in map(objective(name).reward, (chosen, rejected)):
        assert reward.shape == (len(cases),)
        assert reward.isfinite().all()


def hinge_of_sums(chosen, rejected):
    """max(0, 1 - (C - R)), flat where the sums are in the right order."""
    return (1 - (chosen.sums - rejected.sums)).relu()


LOSS_FUNCTIONS = {name: objective(name).loss for name in LOSSES} | {"of sums": hinge_of_sums}


@pytest.mark.parametrize("name", LOSS_FUNCTIONS)
@given(
    chosen=st.floats(-5.0, -0.5),
    behind=st.floats(0.01, 0.4),
    ref=st.floats(-5.0, -0.1),
    tokens=st.tuples(st.integers(1, 7), st.integers(1, 7)) | st.integers(1, 7).map(lambda both: (both, both)),
)
def test_a_pair_in_the_wrong_order_raises_chosen_and_does_not_raise_rejected(name, chosen, behind, ref, tokens):
    """A step down the gradient makes the chosen response likelier; the rejected one less likely, or leaves it.

    The order is wrong by means and by sums, with and without the reference, so that it is for a loss of any of them.
    In fp64 a sigmoid is flat beyond 36: sums of 7 tokens that are at most 4.9 nats apart stay below it.
    """
    first = side([chosen], [tokens[0]], [ref], torch.float64)
    second = side([chosen + behind], [tokens[1]], [ref], torch.float64)
    assume(first.sums < second.sums and first.sums - first.ref_sums < second.sums - second.ref_sums)
    loss = LOSS_FUNCTIONS[name](first, second)
    raised, lowered = torch.autograd.grad(loss.sum(), [first.sums, second.sums], materialize_grads=True)
    assert raised.item() < 0 <= lowered.item()


@names
def test_the_reward_grows_with_the_likelihood(name):
    likelier, less_likely = side([-1.0], [8.0], [-1.5]), side([-1.25], [8.0], [-1.5])
    assert objective(name).reward(likelier) > objective(name).reward(less_likely)


@names
def test_each_pair_counts_once(name):
    """The loss of a pair is that of the pair alone: no other pair of the batch enters it."""
    means, tokens, ref = [-1.0, -0.2, -3.0], [4.0, 9.0, 1.0], [-1.5, -0.3, -2.0]
    chosen, rejected = side(means, tokens, ref), side(means[::-1], tokens[::-1], ref[::-1])
    together = objective(name).loss(chosen, rejected)
    for pair in range(3):
        own = side([means[pair]], [tokens[pair]], [ref[pair]])
        alone = objective(name).loss(own, side([means[2 - pair]], [tokens[2 - pair]], [ref[2 - pair]]))
        assert together[pair].item() == pytest.approx(alone.item(), rel=1e-6)
        [gradient] = torch.autograd.grad(together[pair], chosen.sums, retain_graph=True)
        [expected] = torch.autograd.grad(alone.sum(), own.sums)
        assert gradient[pair].item() == pytest.approx(expected.item(), rel=1e-5)
        assert not gradient[torch.arange(3) != pair].any()


TREES = [
    Tree([1, 5, 6], ([7, 8, 9, 10], [11, 12]), [[True, False, True, False], [False, True]]),
    Tree([1, 4], ([20, 21], [22, 23, 24]), [[True, True], [True, False, True]]),
]
REF_LOGPS = torch.tensor([[-9.0, -4.0], [-11.0, -8.0]])


def dense_sides(model):
    """The same of padded rows with the logits of every position, in fp64."""
    sums, counts = torch.zeros(2, 2, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)
    for pair, tree in enumerate(TREES):
        for branch, response in enumerate(tree.responses):
            ids = torch.tensor([[*tree.prompt_ids, *response]])
            logps = model(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
            mask = torch.tensor(tree.keep[branch], dtype=torch.float64)
            sums[pair, branch] = logps[-len(response) :] @ mask
            counts[pair, branch] = mask.sum()
    ref = REF_LOGPS.double()
    return [SideLogps(*(values[:, branch] for values in (sums, sums / counts, ref, ref / counts))) for branch in (0, 1)]


@names
def test_equals_the_dense_path_in_fp64(name, llama_like):
    model, exact = llama_like(), llama_like().double()
    loss = objective(name).loss(*response_logps(model, shared_layout(TREES), REF_LOGPS))
    expected = objective(name).loss(*dense_sides(exact))
    assert loss.detach().double().tolist() == pytest.approx(expected.tolist(), rel=1e-4)
    loss.sum().backward()
    expected.sum().backward()
    for (parameter, found), other in zip(model.named_parameters(), exact.parameters(), strict=True):
        assert torch.allclose(found.grad.double(), other.grad, rtol=1e-3, atol=1e-4 * other.grad.abs().max()), parameter
