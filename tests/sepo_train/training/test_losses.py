"""Losses against numbers worked out by hand and formulas written a second time."""

import math

import pytest
import torch

from sepo_train.training.losses import (
    cpo_loss,
    dpo_loss,
    ipo_loss,
    kto_loss,
    orpo_loss,
    rrhf_loss,
    sepo_loss,
    simpo_loss,
)


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


def tensors(*values):
    return tuple(torch.tensor([value]) for value in values)


def test_ipo_by_hand():
    # Mean log-ratios: chosen -1.0 - -1.5 = 0.5, rejected -2.0 - -1.9 = -0.1; (0.6 - 1 / (2 x 0.5))^2 = 0.16
    assert ipo_loss(*tensors(-1.0, -2.0, -1.5, -1.9), beta=0.5).tolist() == pytest.approx([0.16], rel=1e-5)


def test_simpo_by_hand():
    # 2 x (-1.5 - -2.0) - 1 = 0; log 2
    assert simpo_loss(*tensors(-1.5, -2.0), beta=2.0, target_margin=1.0).item() == pytest.approx(math.log(2))


def test_cpo_by_hand():
    # 0.1 x (-10 - -8) = -0.2: log(1 + e^0.2) = 0.798139; minus 0.5 x -1.25
    assert cpo_loss(*tensors(-10.0, -8.0, -1.25), beta=0.1, alpha=0.5).item() == pytest.approx(
        0.798139 + 0.625, rel=1e-6
    )


def test_orpo_by_hand():
    # p = 1/2 and 1/5: odds 1 and 1/4, log odds ratio log 4; -log(1/2) + 0.1 x log(1 + 1/4)
    loss = orpo_loss(*tensors(math.log(1 / 2), math.log(1 / 5)), beta=0.1)
    assert loss.item() == pytest.approx(math.log(2) + 0.1 * math.log(1.25), rel=1e-5)


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


def test_rrhf_by_hand():
    # The rejected response is likelier by 0.5; minus 2 x -10
    assert rrhf_loss(*tensors(-1.5, -1.0, -10.0), alpha=2.0).item() == pytest.approx(20.5)
    assert rrhf_loss(*tensors(-1.0, -1.5, -10.0), alpha=2.0).item() == pytest.approx(20.0)


@pytest.mark.parametrize("chosen", [-1e-9, -1e-4, -0.69, -0.7, -50.0])
def test_odds_are_finite_at_both_ends(chosen):
    value = torch.tensor([chosen], dtype=torch.float64, requires_grad=True)
    loss = orpo_loss(value, torch.tensor([-1.0], dtype=torch.float64), beta=0.1)
    odds = math.exp(chosen) / -math.expm1(chosen) / (math.exp(-1) / -math.expm1(-1))
    assert loss.item() == pytest.approx(-chosen + 0.1 * math.log1p(1 / odds), rel=1e-9)
    [gradient] = torch.autograd.grad(loss.sum(), value)
    assert gradient.isfinite()
    assert orpo_loss(*tensors(0.0, -1.0), beta=0.1).isfinite()


class Theirs:
    """What the loss functions of TRL's trainers read of their trainer."""

    class accelerator:  # noqa: N801 - as there
        device = "cpu"

    label_smoothing = 0.0
    alpha = 0.0

    def __init__(self, **options):
        vars(self).update(options)


CHOSEN, REJECTED = torch.tensor([-1.5, -0.3, -2.0]), torch.tensor([-1.0, -2.5, -2.0])


def test_simpo_and_cpo_equal_trl():
    trainer = pytest.importorskip("trl.experimental.cpo.cpo_trainer").CPOTrainer
    simpo = Theirs(beta=2.5, simpo_gamma=1.4, loss_type="simpo")
    theirs, *_ = trainer.cpo_loss(simpo, CHOSEN, REJECTED)
    assert torch.allclose(simpo_loss(CHOSEN, REJECTED, beta=2.5, target_margin=1.4), theirs)
    cpo = Theirs(beta=0.2, loss_type="sigmoid")
    theirs, *_ = trainer.cpo_loss(cpo, 20 * CHOSEN, 20 * REJECTED)
    assert torch.allclose(cpo_loss(20 * CHOSEN, 20 * REJECTED, CHOSEN, beta=0.2, alpha=0.7), theirs - 0.7 * CHOSEN)


def test_orpo_equals_trl():
    trainer = pytest.importorskip("trl.experimental.orpo.orpo_trainer").ORPOTrainer
    theirs, *_ = trainer.odds_ratio_loss(Theirs(beta=0.3), CHOSEN, REJECTED)
    assert torch.allclose(orpo_loss(CHOSEN, REJECTED, beta=0.3), -CHOSEN - theirs)
