"""Every loss by its name: parameters, references and implicit rewards."""

import pytest
import torch

from sepo_data.errors import SepoError
from sepo_train.engine.pair_logps import SideLogps
from sepo_train.training.losses import LOSSES
from sepo_train.training.objectives import objective

CHOSEN = SideLogps(*(torch.tensor([value]) for value in (-10.0, -2.0, -12.0, -2.4)))
REJECTED = SideLogps(*(torch.tensor([value]) for value in (-8.0, -1.0, -7.0, -0.875)))


def test_every_loss_has_its_defaults():
    assert objective("sepo").parameters == {"gamma": 2.0, "target_margin": 0.0}
    assert objective("dpo").parameters == objective("ipo").parameters == objective("kto").parameters == {"beta": 0.1}
    assert objective("simpo").parameters == {"beta": 2.0, "target_margin": 1.0}
    assert objective("cpo").parameters == {"beta": 0.1, "alpha": 1.0}
    assert objective("orpo").parameters == {"beta": 0.1}
    assert objective("rrhf").parameters == {"alpha": 1.0}


def test_an_unknown_loss_is_refused():
    with pytest.raises(SepoError, match="there is no loss dpp") as error:
        objective("dpp")
    assert "dpo" in error.value.hint


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
    assert all(objective(name).needs_reference == LOSSES[name].needs_reference for name in LOSSES)
    assert all(objective(name).needs_reference for name in ("dpo", "ipo", "kto"))
