"""Losses of the policy alone, against numbers worked out by hand and formulas written a second time."""

import math

import pytest
import torch

from sepo_train.training.losses.reference_free import cpo_loss, orpo_loss, rrhf_loss, sepo_loss, simpo_loss
from sepo_train.training.losses.with_reference import dpo_loss


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


class TrlTrainer:
    """The attributes of their trainer that the loss functions of TRL read."""

    class accelerator:  # noqa: N801 - as there
        device = "cpu"

    label_smoothing = 0.0
    alpha = 0.0

    def __init__(self, **options):
        vars(self).update(options)


CHOSEN, REJECTED = torch.tensor([-1.5, -0.3, -2.0]), torch.tensor([-1.0, -2.5, -2.0])


def test_simpo_and_cpo_equal_trl():
    trainer = pytest.importorskip("trl.experimental.cpo.cpo_trainer").CPOTrainer
    simpo = TrlTrainer(beta=2.5, simpo_gamma=1.4, loss_type="simpo")
    theirs, *_ = trainer.cpo_loss(simpo, CHOSEN, REJECTED)
    assert torch.allclose(simpo_loss(CHOSEN, REJECTED, beta=2.5, target_margin=1.4), theirs)
    cpo = TrlTrainer(beta=0.2, loss_type="sigmoid")
    theirs, *_ = trainer.cpo_loss(cpo, 20 * CHOSEN, 20 * REJECTED)
    assert torch.allclose(cpo_loss(20 * CHOSEN, 20 * REJECTED, CHOSEN, beta=0.2, alpha=0.7), theirs - 0.7 * CHOSEN)


def test_orpo_equals_trl():
    trainer = pytest.importorskip("trl.experimental.orpo.orpo_trainer").ORPOTrainer
    theirs, *_ = trainer.odds_ratio_loss(TrlTrainer(beta=0.3), CHOSEN, REJECTED)
    assert torch.allclose(orpo_loss(CHOSEN, REJECTED, beta=0.3), -CHOSEN - theirs)
