"""What training minimises, by name: a loss of `losses.py` over the responses of a batch, and its implicit rewards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from sepo_data.errors import SepoError
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

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import JsonValue
    from torch import Tensor

LossName: TypeAlias = Literal["sepo", "dpo", "ipo", "simpo", "cpo", "orpo", "kto", "rrhf"]

REFERENCE = frozenset({"dpo", "ipo", "kto"})
"""The losses that compare with a reference model."""

PARAMETERS: dict[LossName, dict[str, float]] = {
    "sepo": {"gamma": 2.0, "target_margin": 0.0},
    "dpo": {"beta": 0.1},
    "ipo": {"beta": 0.1},
    "simpo": {"beta": 2.0, "target_margin": 1.0},
    "cpo": {"beta": 0.1, "alpha": 1.0},
    "orpo": {"beta": 0.1},
    "kto": {"beta": 0.1},
    "rrhf": {"alpha": 1.0},
}
"""What each loss can be told, and what it is where nobody says."""


@dataclass(frozen=True, slots=True)
class SideLogps:
    """Log-probabilities of one response of every pair over its selected tokens; every tensor is (pairs,), in nats.

    Attributes:
        sums: summed, weighted where the selection has soft weights.
        means: their weighted mean.
        ref_sums: `sums` of the reference model, 0 where the loss has none.
        ref_means: `means` of the reference model.
    """

    sums: Tensor
    means: Tensor
    ref_sums: Tensor
    ref_means: Tensor


@dataclass(frozen=True, slots=True)
class Objective:
    """What is minimised, and the implicit rewards whose margin it pushes apart.

    Attributes:
        name: of the loss.
        parameters: its numbers, as the manifest records them.
        loss: (chosen, rejected) to (pairs,).
        reward: of one side, (pairs,).
    """

    name: LossName
    parameters: dict[str, JsonValue]
    loss: Callable[[SideLogps, SideLogps], Tensor]
    reward: Callable[[SideLogps], Tensor]

    @property
    def needs_reference(self) -> bool:
        return self.name in REFERENCE


def objective(name: LossName, **given: float | None) -> Objective:  # noqa: C901, PLR0911 - a case for each loss
    """The loss `name` with its parameters, those that are None or left out at their defaults.

    Raises:
        SepoError: a parameter is given that the loss does not have.
    """
    own = PARAMETERS[name]
    if foreign := [key for key, value in given.items() if value is not None and key not in own]:
        option = "--" + foreign[0].replace("_", "-")
        raise SepoError(
            f"--loss {name} has no {option}", f"it has {', '.join('--' + key.replace('_', '-') for key in own)}"
        )
    values = own | {key: value for key, value in given.items() if value is not None}
    beta, alpha = values.get("beta", 1.0), values.get("alpha", 0.0)
    margin = values.get("target_margin", 0.0)

    def made(loss: Callable[[SideLogps, SideLogps], Tensor], reward: Callable[[SideLogps], Tensor]) -> Objective:
        return Objective(name, dict(values), loss, reward)

    def mean(side: SideLogps) -> Tensor:
        return beta * side.means

    def of_log_ratios(loss: Callable[..., Tensor]) -> Objective:
        return made(
            lambda chosen, rejected: loss(chosen.sums, rejected.sums, chosen.ref_sums, rejected.ref_sums, beta=beta),
            lambda side: beta * (side.sums - side.ref_sums),
        )

    match name:
        case "sepo":
            gamma = values["gamma"]
            return made(
                lambda chosen, rejected: sepo_loss(chosen.means, rejected.means, gamma=gamma, target_margin=margin),
                lambda side: gamma * side.means,
            )
        case "dpo":
            return of_log_ratios(dpo_loss)
        case "ipo":
            return made(
                lambda chosen, rejected: ipo_loss(
                    chosen.means, rejected.means, chosen.ref_means, rejected.ref_means, beta=beta
                ),
                lambda side: beta * (side.means - side.ref_means),
            )
        case "simpo":
            return made(
                lambda chosen, rejected: simpo_loss(chosen.means, rejected.means, beta=beta, target_margin=margin), mean
            )
        case "cpo":
            return made(
                lambda chosen, rejected: cpo_loss(chosen.sums, rejected.sums, chosen.means, beta=beta, alpha=alpha),
                lambda side: beta * side.sums,
            )
        case "orpo":
            return made(lambda chosen, rejected: orpo_loss(chosen.means, rejected.means, beta=beta), mean)
        case "kto":
            return of_log_ratios(kto_loss)
        case "rrhf":
            return made(
                lambda chosen, rejected: rrhf_loss(chosen.means, rejected.means, chosen.sums, alpha=alpha),
                lambda side: side.means,
            )
