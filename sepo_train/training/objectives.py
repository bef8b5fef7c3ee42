"""Objectives of training: a loss of `LOSSES` with its numbers, over the responses of a batch, and its metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sepo_data.checked import checked
from sepo_data.console.text import did_you_mean
from sepo_data.errors import SepoError
from sepo_train.training.losses import LOSSES

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import JsonValue
    from torch import Tensor

    from sepo_train.engine.pair_logps import SideLogps


@dataclass(frozen=True, slots=True)
class Objective:
    """A loss to minimise, and the implicit rewards whose margin it pushes apart.

    Attributes:
        name: of the loss.
        parameters: its numbers, as the manifest records them.
        loss: (chosen, rejected) to (pairs,).
        reward: of one side, (pairs,).
        needs_reference: whether the loss compares with a reference model.
        starts_equal: whether that is the model that training starts from: before the first update all rewards are then
            0 but for rounding, and an accuracy of them would be noise.
    """

    name: str
    parameters: dict[str, JsonValue]
    loss: Callable[[SideLogps, SideLogps], Tensor]
    reward: Callable[[SideLogps], Tensor]
    needs_reference: bool
    starts_equal: bool = False


@checked()
def objective(name: str, **given: float | None) -> Objective:
    """The loss `name` of `LOSSES` with its parameters, those that are None or left out at their defaults.

    Raises:
        SepoError: there is no such loss, or a parameter is given that it does not have.
    """
    if name not in LOSSES:
        raise SepoError(f"there is no loss {name}", did_you_mean(name, LOSSES))
    loss = LOSSES[name]
    values = {key: value for key, value in given.items() if value is not None}
    if foreign := [_option(key) for key in values if key not in loss.parameters]:
        own = ", ".join(map(_option, loss.parameters))
        raise SepoError(f"--loss {name} has no {foreign[0]}", f"it has {own or 'no parameters'}")
    values = {key: values.get(key, parameter.default) for key, parameter in loss.parameters.items()}
    return Objective(
        name,
        dict(values),
        loss=lambda chosen, rejected: loss.of(chosen, rejected, values),
        reward=lambda side: loss.reward_of(side, values),
        needs_reference=loss.needs_reference,
    )


def _option(parameter: str) -> str:
    return "--" + parameter.replace("_", "-")


def pair_metrics(chosen: SideLogps, rejected: SideLogps, objective: Objective) -> dict[str, Tensor]:
    """Metrics of each pair, (pairs,): implicit rewards, under TRL's names, and summed log-probabilities."""
    from sepo_train.metrics import preferred  # numpy, which settings and losses do without

    rewards = objective.reward(chosen), objective.reward(rejected)
    return {
        "rewards/chosen": rewards[0],
        "rewards/rejected": rewards[1],
        "rewards/margins": rewards[0] - rewards[1],
        "rewards/accuracies": preferred(rewards[0] - rewards[1]),
        "logps/chosen": chosen.sums,
        "logps/rejected": rejected.sums,
    }
