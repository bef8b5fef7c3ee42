"""The options of `sepo train` that choose a loss and its numbers, made from their registry, and the losses in help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from sepo_data.commands.built_options import keyword, takes
from sepo_data.commands.grouped_help import LOSS
from sepo_data.commands.options import number, option, parse_finite, parse_positive

if TYPE_CHECKING:
    import inspect
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class ChosenLoss:
    """The loss that a command names.

    Attributes:
        name: a key of `LOSSES`.
        ref_logps: where the reference's log-probabilities come from.
        parameters: the numbers given; None where the loss's default holds.
    """

    name: str
    ref_logps: str
    parameters: dict[str, float | None]


def loss_rows() -> list[tuple[str, str]]:
    """The name of each loss, and its formula and source, for the help of `sepo train`."""
    from sepo_train.training.losses import LOSSES

    return [(entry.name, f"{entry.formula}: {entry.source}") for entry in LOSSES.values()]


def complete_loss(incomplete: str) -> list[tuple[str, str]]:
    """List the losses that begin with `incomplete`, each with its formula and source."""
    return [(name, text) for name, text in loss_rows() if name.startswith(incomplete)]


def parse_loss(text: str) -> str:
    """Check the name of a loss."""
    from sepo_data.console.text import did_you_mean
    from sepo_train.training.losses import LOSSES

    if text not in LOSSES:
        near = did_you_mean(text, LOSSES)
        raise typer.BadParameter("; ".join([f"{text!r} is none of {', '.join(LOSSES)}", *([near] if near else [])]))
    return text


def declare_loss() -> Iterator[inspect.Parameter]:
    """List the options of a loss: its name, the reference, and each number that some loss has."""
    from sepo_train.training.losses import LOSSES

    name = option(
        LOSS,
        parser=parse_loss,
        metavar="NAME",
        autocompletion=complete_loss,
        help="the loss over the selected tokens, listed below",
    )
    yield keyword("loss", "sepo", Annotated[str, name])
    for parameter in dict.fromkeys(parameter for entry in LOSSES.values() for parameter in entry.parameters):
        having = {entry.name: entry.parameters[parameter] for entry in LOSSES.values() if parameter in entry.parameters}
        parser = parse_positive if all(each.positive for each in having.values()) else parse_finite
        losses_of: dict[str, list[str]] = {}
        for loss, each in having.items():
            losses_of.setdefault(f"{each.help} [{each.default:g}]", []).append(loss)
        meanings = (f"{', '.join(losses)}: {meaning}" for meaning, losses in losses_of.items())
        declared = number(LOSS, parser=parser, help="; ".join(meanings))
        yield keyword(parameter, None, Annotated[float | None, declared])
    with_reference = ", ".join(entry.name for entry in LOSSES.values() if entry.needs_reference)
    reference = option(
        LOSS,
        metavar="stored|policy|DIR",
        help=f"{with_reference}: the reference's log-probabilities, as `sepo score` wrote them",
    )
    yield keyword("ref_logps", "policy", Annotated[str, reference])


def build_loss(loss: str, ref_logps: str, **parameters: float | None) -> ChosenLoss:
    """Build the loss of the options of `sepo train`."""
    return ChosenLoss(loss, ref_logps, parameters)


takes_loss = takes("loss", build_loss, declare=declare_loss)
