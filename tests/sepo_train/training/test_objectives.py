"""Every loss by its name: parameters, references and implicit rewards."""

from typing import get_args

import pytest
import torch

from sepo_data.errors import SepoError
from sepo_train.training.objectives import PARAMETERS, LossName, SideLogps, objective

CHOSEN = SideLogps(*(torch.tensor([value]) for value in (-10.0, -2.0, -12.0, -2.4)))
REJECTED = SideLogps(*(torch.tensor([value]) for value in (-8.0, -1.0, -7.0, -0.875)))


@pytest.mark.parametrize("name", get_args(LossName))
def test_a_step_down_raises_the_margin(name):
    """Each loss falls where the chosen response gets likelier, and rises or stays where the rejected one does."""
    minimised = objective(name)
    sides = [side.sums.clone().requires_grad_() for side in (CHOSEN, REJECTED)]
    tokens = 5.0, 8.0
    chosen, rejected = (
        SideLogps(sums, sums / count, side.ref_sums, side.ref_means)
        for sums, count, side in zip(sides, tokens, (CHOSEN, REJECTED), strict=True)
    )
    loss = minimised.loss(chosen, rejected)
    assert loss.shape == (1,)
    first, second = torch.autograd.grad(loss.sum(), sides)
    assert first < 0 < second
    assert minimised.reward(chosen).shape == (1,)
    assert minimised.parameters == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "rewards"),
    [
        ("sepo", (2 * -2.0, 2 * -1.0)),
        ("dpo", (0.1 * 2.0, 0.1 * -1.0)),
        ("ipo", (0.1 * 0.4, 0.1 * -0.125)),
        ("cpo", (0.1 * -10.0, 0.1 * -8.0)),
        ("rrhf", (-2.0, -1.0)),
    ],
)
def test_rewards_by_hand(name, rewards):
    assert [objective(name).reward(side).item() for side in (CHOSEN, REJECTED)] == pytest.approx(rewards, rel=1e-5)


def test_what_is_given_replaces_the_default():
    assert objective("simpo", beta=2.5, target_margin=None, gamma=None).parameters == {
        "beta": 2.5,
        "target_margin": 1.0,
    }


def test_a_parameter_of_another_loss_is_refused():
    with pytest.raises(SepoError, match="--loss dpo has no --target-margin") as error:
        objective("dpo", beta=0.1, target_margin=1.0)
    assert error.value.hint == "it has --beta"


def test_which_need_a_reference():
    assert {name for name in get_args(LossName) if objective(name).needs_reference} == {"dpo", "ipo", "kto"}
