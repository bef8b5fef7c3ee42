"""Models: load them, per-token log-probabilities, the oracle, scoring, losses, training and evaluation."""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing: `sepo` imports this file before it can handle Ctrl-C
if TYPE_CHECKING:
    from sepo_train.evaluation.evaluate import evaluate
    from sepo_train.scoring.options import ScoringOptions
    from sepo_train.scoring.score import score
    from sepo_train.training.objectives import objective
    from sepo_train.training.oracle import train_oracle
    from sepo_train.training.policy import train
    from sepo_train.training.settings import Training

__all__ = ["ScoringOptions", "Training", "evaluate", "objective", "score", "train", "train_oracle"]

HOMES = {
    "ScoringOptions": "sepo_train.scoring.options",
    "Training": "sepo_train.training.settings",
    "evaluate": "sepo_train.evaluation.evaluate",
    "objective": "sepo_train.training.objectives",
    "score": "sepo_train.scoring.score",
    "train": "sepo_train.training.policy",
    "train_oracle": "sepo_train.training.oracle",
}
"""The module of each public name; it is imported when the name is first used."""


def __getattr__(name: str) -> object:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES})
