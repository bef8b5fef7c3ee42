"""Losses against numbers worked out by hand and formulas written a second time."""

import math

import pytest
import torch

from sepo_train.losses import dpo_loss, sepo_loss


def test_dpo_by_hand():
    # log-ratios: chosen -10 - -12 = 2, rejected -8 - -7 = -1; beta x (2 - -1) = 0.3
    # -log sigmoid(0.3) = log(1 + e^-0.3) = log(1.740818) = 0.554355
    loss = dpo_loss(*(torch.tensor([value]) for value in (-10.0, -8.0, -12.0, -7.0)), beta=0.1)
    assert loss.tolist() == pytest.approx([0.554355], abs=1e-6)


def test_dpo_of_the_reference_itself_is_ln_2():
    chosen, rejected = torch.tensor([-3.0, -500.0]), torch.tensor([-7.0, -1.0])
    assert dpo_loss(chosen, rejected, chosen, rejected, beta=0.1).tolist() == pytest.approx([math.log(2)] * 2)


def test_sepo_by_hand():
    # 2 x (-1.5 - -2.0) - 0.4 = 0.6; log(1 + e^-0.6) = log(1.548812) = 0.437488
    loss = sepo_loss(torch.tensor([-1.5]), torch.tensor([-2.0]), gamma=2.0, target_margin=0.4)
    assert loss.tolist() == pytest.approx([0.437488], abs=1e-6)


def test_sepo_of_equal_responses_is_ln_2():
    assert sepo_loss(torch.tensor([-1.0]), torch.tensor([-1.0]), gamma=2.0, target_margin=0.0).item() == pytest.approx(
        math.log(2)
    )


def test_sepo_with_all_tokens_is_simpo():
    # SimPO, equation 6: -log sigmoid(beta / |y_w| log pi(y_w|x) - beta / |y_l| log pi(y_l|x) - gamma)
    chosen, rejected = [-0.5, -2.25, -1.0], [-3.0, -0.125]
    beta, margin = 2.5, 1.4
    simpo = -math.log(
        1 / (1 + math.exp(-(beta / len(chosen) * sum(chosen) - beta / len(rejected) * sum(rejected) - margin)))
    )
    ours = sepo_loss(torch.tensor(chosen).mean(), torch.tensor(rejected).mean(), gamma=beta, target_margin=margin)
    assert ours.item() == pytest.approx(simpo, rel=1e-6)


@pytest.mark.parametrize("gap", [1e4, -1e4])
def test_extreme_values_stay_finite(gap):
    chosen = torch.tensor([gap], requires_grad=True)
    for loss in (
        sepo_loss(chosen, torch.tensor([0.0]), gamma=2.0, target_margin=0.0),
        dpo_loss(chosen, torch.zeros(1), torch.zeros(1), torch.zeros(1), beta=2.0),
    ):
        # Far below the margin the loss is linear: -(2 x gap); far above it is 0.
        assert loss.item() == pytest.approx(max(0.0, -2 * gap))
        [gradient] = torch.autograd.grad(loss.sum(), chosen)
        assert gradient.item() == pytest.approx(0.0 if gap > 0 else -2.0)
