"""Losses with a reference, against numbers worked out by hand."""

import math

import pytest
import torch

from sepo_train.training.losses.with_reference import dpo_loss, ipo_loss, kto_loss


def tensors(*values):
    return tuple(torch.tensor([value]) for value in values)


def test_dpo_by_hand():
    # log-ratios: chosen -10 - -12 = 2, rejected -8 - -7 = -1; beta x (2 - -1) = 0.3
    # -log sigmoid(0.3) = log(1 + e^-0.3) = log(1.740818) = 0.554355
    loss = dpo_loss(*(torch.tensor([value]) for value in (-10.0, -8.0, -12.0, -7.0)), beta=0.1)
    assert loss.tolist() == pytest.approx([0.554355], abs=1e-6)


def test_dpo_of_the_reference_itself_is_ln_2():
    chosen, rejected = torch.tensor([-3.0, -500.0]), torch.tensor([-7.0, -1.0])
    assert dpo_loss(chosen, rejected, chosen, rejected, beta=0.1).tolist() == pytest.approx([math.log(2)] * 2)


def test_ipo_by_hand():
    # Mean log-ratios: chosen -1.0 - -1.5 = 0.5, rejected -2.0 - -1.9 = -0.1; (0.6 - 1 / (2 x 0.5))^2 = 0.16
    assert ipo_loss(*tensors(-1.0, -2.0, -1.5, -1.9), beta=0.5).tolist() == pytest.approx([0.16], rel=1e-5)


def test_kto_by_hand():
    # beta x log-ratios: chosen 0.2, rejected -0.1; 1 - sigmoid(0.2) = 0.450166, sigmoid(-0.1) = 0.475021
    assert kto_loss(*tensors(-10.0, -8.0, -12.0, -7.0), beta=0.1).item() == pytest.approx(0.925187, rel=1e-5)


def test_kto_pushes_each_response_by_itself():
    chosen, rejected = torch.tensor([-5.0], requires_grad=True), torch.tensor([-6.0])
    gradients = [
        torch.autograd.grad(kto_loss(chosen, other, *tensors(-5.5, -6.5), beta=0.1), chosen)[0]
        for other in (rejected, rejected - 50)
    ]
    assert gradients[0] == gradients[1] < 0
