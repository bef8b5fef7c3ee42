"""Check before training that a model computes in training mode what it computes in evaluation mode, pass after pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers import set_seed

from sepo_data.console.text import listed
from sepo_data.errors import SepoError
from sepo_train.engine.layout import batches_by_tokens
from sepo_train.engine.layout_check import GROSS_FACTOR, change_size, tolerance
from sepo_train.engine.logps import default_batch_tokens, token_logps
from sepo_train.engine.pair_logps import side_logps
from sepo_train.models.files import library_errors
from sepo_train.models.random_numbers import drawing_modules, generator_states, random_numbers_kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

    from sepo_train.engine.layout import Layout
    from sepo_train.engine.layout_policy import LayoutPolicy
    from sepo_train.training.selected_pairs import TrainingPair

PAIRS = 4
"""Most pairs that are tried."""

SEEDS = 8
"""Passes with other random numbers, where a pass draws any: what it does with them may be rare."""

SMALLEST = 1e-5
"""Nats that random numbers have to change a log-probability by before they count."""

OTHER_MODE = 1e-2
"""Nats that training mode may change a log-probability by, where no reference was computed in evaluation mode: RWKV
scales its states there."""

ALLOW = "--allow-noise"


@dataclass(frozen=True, slots=True)
class Passes:
    """Log-probabilities of the same tokens, (n,) each, from passes of one model.

    Attributes:
        evaluation: in evaluation mode.
        training: in training mode.
        repeated: in training mode, with the same random numbers.
        others: in training mode, with others; empty where a pass draws none.
        drawn_by: classes of the modules that draw them.
    """

    evaluation: Tensor
    training: Tensor
    repeated: Tensor
    others: list[Tensor]
    drawn_by: list[str]


def check_noise(
    model: PreTrainedModel,
    pairs: Sequence[TrainingPair],
    layout_policy: LayoutPolicy,
    *,
    name: str,
    own_reference: bool,
    allowed: bool,
) -> str | None:
    """The noise of training `model` that `allowed` lets pass, in words; None where there is none.

    Where the reference is the model itself as it starts, the first loss of DPO is ln 2 thereby.

    Args:
        model: as it is trained, in the context of its number type.
        pairs: the first few to train on; they fit into one micro-batch.
        layout_policy: the layout of rows.
        name: of the model, for messages.
        own_reference: the pairs have log-probabilities of `model` as it is.
        allowed: do not raise.

    Raises:
        SepoError: the passes of `model` are random, it computes otherwise in training mode, or its log-probabilities
            are not those that the pairs have.
    """
    layout = layout_policy.layout([pair.tree for pair in pairs])
    with library_errors(f"{name} cannot be run in training mode", "train another model"):
        passes = _passes(model, layout)
    found = random_passes(passes, model) or other_mode(passes, model, strict=own_reference)
    if found is None and own_reference:
        found = other_reference(passes, model, pairs, layout)
    if found is None or allowed:
        return found
    raise SepoError(f"{name} {found}", f"train another model, or go on all the same with {ALLOW}")


def tried_pairs(pairs: Sequence[TrainingPair], lengths: Sequence[int], most: int) -> list[TrainingPair]:
    """The first few of `pairs` that make one micro-batch, of at most `most`."""
    few = list(lengths[: min(most, PAIRS)])
    return [pairs[place] for place in batches_by_tokens(few, default_batch_tokens())[0]]


def random_passes(passes: Passes, model: PreTrainedModel) -> str | None:
    """A sentence where the same rows have other log-probabilities in another pass in training mode."""
    repeated = _largest(passes.training, passes.repeated)
    size = max([repeated, *(_largest(passes.training, other) for other in passes.others)])
    same = change_size(model, (passes.training - passes.repeated).abs().nan_to_num(0.0)) <= tolerance(model)
    if same and size <= max(SMALLEST, GROSS_FACTOR * repeated):
        return None
    where = f", drawn by {listed(passes.drawn_by)}" if passes.drawn_by else ""
    return (
        f"computes with random numbers in training mode{where}: with dropout off, log-probabilities still "
        f"change by up to {size:.2g} nats from pass to pass"
    )


def other_mode(passes: Passes, model: PreTrainedModel, *, strict: bool) -> str | None:
    """A sentence where training mode has other log-probabilities than evaluation mode, with `strict` by any more."""
    changes = (passes.training - passes.evaluation).abs()
    if not change_size(model, changes) > (tolerance(model) if strict else max(OTHER_MODE, tolerance(model))):
        return None
    return f"computes otherwise in training mode: log-probabilities change by up to {float(changes.max()):.2g} nats"


def other_reference(
    passes: Passes, model: PreTrainedModel, pairs: Sequence[TrainingPair], layout: Layout
) -> str | None:
    """A sentence where the pairs' log-probabilities of the reference, which is `model`, are others."""
    references = torch.tensor([pair.ref_logps for pair in pairs])
    sides = side_logps(passes.training, layout.response, layout.weights, references)
    changes = torch.stack([(side.means - side.ref_means).abs() for side in sides])
    if not float(changes.max()) > tolerance(model):
        return None
    return f"and its own log-probabilities as the reference differ by {float(changes.max()):.2g} nats a token"


@torch.no_grad()
def _passes(model: PreTrainedModel, layout: Layout) -> Passes:
    def run(seed: int) -> Tensor:
        set_seed(seed)
        return token_logps(model, layout).cpu()

    with random_numbers_kept(model.device):
        model.eval()
        evaluation = run(0)
        model.train()
        set_seed(0)
        before = generator_states(model.device)
        training = run(0)
        drawn = before != generator_states(model.device)
        repeated = run(0)
        others = [run(seed) for seed in range(1, SEEDS + 1)] if drawn else []
        drawn_by = drawing_modules(model, model.device, lambda: run(0)) if drawn else []
    return Passes(evaluation, training, repeated, others, drawn_by)


def _largest(first: Tensor, second: Tensor) -> float:
    """The largest change of a number between two passes; pairs that give NaN are found when they are trained on."""
    return float((first - second).abs().nan_to_num(0.0).max())
