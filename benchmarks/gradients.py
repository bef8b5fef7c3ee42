"""Loss and gradients of one step, of sepo and of dense batches: the part `equal` of `train.py`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import torch
from dense import backward
from trainers import fit_pairs, sepo_training
from training_task import GAMMA

from sepo_train.models.load import load_model
from sepo_train.training.processes import agree_on_layout
from sepo_train.training.trainable_model import trainable_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sepo_train.engine.layout import Tree

    Gradients = dict[str, Tensor]

ASKED = 1e-5


def equal(model: str, pairs: Sequence[Tree]) -> None:
    """Print how far sepo's loss and gradients are from dense ones, and both from those in fp64.

    Of each parameter: the norm of the difference by the norm, and the largest difference of any element by the largest
    element.
    """
    ways = {
        "sepo": by_sepo(model, pairs),
        "dense": by_dense(model, pairs),
        "dense, fp64": by_dense(model, pairs, fp64=True),
    }
    print(f"\n{f'equal, {len(pairs)} pairs in one step':44}{'loss':>10}{'norms':>10}{'elements':>10}  worst parameter")
    for first, second in (("sepo", "dense"), ("sepo", "dense, fp64"), ("dense", "dense, fp64")):
        (loss, found), (expected_loss, expected) = ways[first], ways[second]
        if found.keys() != expected.keys():
            raise RuntimeError(f"gradients of different parameters: {sorted(found.keys() ^ expected.keys())}")
        norms, elements = ({name: by(found[name], expected[name]) for name in found} for by in (by_norm, by_element))
        worst = max(elements, key=elements.__getitem__)
        print(f"{f'{first} against {second}':44}{abs(loss / expected_loss - 1):10.1e}", end="")
        print(f"{max(norms.values()):10.1e}{elements[worst]:10.1e}  {worst}", flush=True)
        if (first, second) == ("sepo", "dense"):
            over = sum(value > ASKED for value in norms.values())
            print(
                f"{len(norms)} parameters, of which {over} differ by more than {ASKED:g} of their norm", file=sys.stderr
            )


def by_sepo(name: str, pairs: Sequence[Tree]) -> tuple[float, Gradients]:
    """The loss and, before they are clipped, the gradients of the one step that `fit` makes of `pairs`."""
    training = sepo_training(len(pairs))
    model = trainable_model(name, training)
    layout_policy = agree_on_layout(model, pairs)
    found: Gradients = {}
    names = {parameter: name for name, parameter in model.named_parameters()}

    def keep(parameter: Tensor) -> None:
        found[names[parameter]] = parameter.grad.clone()  # after the last micro-batch, that of the step

    for parameter in names:
        parameter.register_post_accumulate_grad_hook(keep)
    _, [loss] = fit_pairs(model, pairs, layout_policy, training, "sepo")
    return loss, found


def by_dense(name: str, pairs: Sequence[Tree], *, fp64: bool = False) -> tuple[float, Gradients]:
    """The same of padded rows with all logits."""
    model = load_model(name, dtype="float32").train()
    if fp64:
        model.double()
    loss = backward(model, pairs, rows=2 if fp64 else 8, gamma=GAMMA)
    return loss, {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def by_norm(found: Tensor, expected: Tensor) -> float:
    return float(
        torch.linalg.vector_norm(found.double() - expected.double()) / torch.linalg.vector_norm(expected.double())
    )


def by_element(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).abs().max() / expected.abs().max())
