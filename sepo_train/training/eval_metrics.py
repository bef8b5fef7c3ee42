"""Metrics of a policy on holdout pairs, during training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sepo_train.engine.layout import Tree
from sepo_train.engine.logps import default_batch_tokens, score_trees
from sepo_train.engine.pair_logps import side_logps
from sepo_train.metrics import preferred
from sepo_train.training.objectives import pair_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

    from sepo_train.engine.layout_policy import LayoutPolicy
    from sepo_train.training.objectives import Objective
    from sepo_train.training.selected_pairs import TrainingPair


def evaluate_pairs(
    model: PreTrainedModel, pairs: Sequence[TrainingPair], layout_policy: LayoutPolicy, objective: Objective
) -> dict[str, float]:
    """Means over `pairs`: of the selected tokens, as the objective weighs them, and of all tokens.

    Returns:
        `loss` and those of `pair_metrics`; `all/margins`: mean log-probability of the chosen tokens minus that of the
        rejected ones, in nats; `all/accuracies`: the share of pairs in which that is above 0, ties as half.
    """
    unmasked = [Tree(pair.tree.prompt_ids, pair.tree.responses) for pair in pairs]
    scores = score_trees(model, unmasked, layout_policy, batch_tokens=default_batch_tokens())
    margins = torch.stack([chosen.mean() - rejected.mean() for chosen, rejected in scores])
    selected: list[torch.Tensor] = []
    response: list[int] = []
    weights: list[float] = []
    for number, (pair, logps) in enumerate(zip(pairs, scores, strict=True)):
        for branch, side in enumerate(logps):
            places = pair.tree.target_positions(branch)
            selected.append(side[places])
            response += [2 * number + branch] * len(places)
            weights += pair.tree.target_weights(branch)
    reference = torch.tensor([pair.ref_logps for pair in pairs])
    chosen, rejected = side_logps(torch.cat(selected), torch.tensor(response), torch.tensor(weights), reference)
    found = {
        "loss": objective.loss(chosen, rejected),
        **pair_metrics(chosen, rejected, objective),
        "all/margins": margins,
        "all/accuracies": preferred(margins),
    }
    return {name: round(float(values.mean()), 4) for name, values in found.items()}
