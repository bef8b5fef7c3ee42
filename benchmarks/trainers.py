"""The trainers timed by `train.py`: sepo, a plain loop and TRL's, each in a process of its own.

    python benchmarks/trainers.py < task.json > result.json

Each imports and loads what it needs itself, so that the peak of its process is its own. All start from the same
weights, take the same pairs in the same order, and have the same AdamW (fused, as transformers has by default),
learning rate (a cosine without warm-up), clipping, precision (fp32) and number of threads. TRL gets token ids, the very
same, instead of text; after training it is checked that its rows hold these ids and no others.
"""

# ruff: noqa: PLC0415 - what another way imports would be in the memory of this one

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ |= {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}

import torch
from process import end_beyond, status
from training_task import BETA, GAMMA, LEARNING_RATE, THREADS, Measured, Result, Task
from transformers.utils.logging import disable_progress_bar

from sepo_train.engine.layout import Tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sepo_train.training.settings import Training


def by_sepo(task: Task, objective: str) -> Measured:
    """`sepo train` or `sepo oracle`, from the model in memory to the last step."""
    from sepo_train.engine.choose import CHECKED_PAIRS
    from sepo_train.training.processes import agree_on_layout
    from sepo_train.training.trainable_model import trainable_model

    training = sepo_training(task.batch_size, checkpointing=task.checkpointing)
    model = trainable_model(task.model, training)
    loaded, begun = status("VmRSS"), time.perf_counter()
    layout_policy = agree_on_layout(model, task.pairs[:CHECKED_PAIRS])
    print(layout_policy.layout_name, file=sys.stderr)
    ended, losses = fit_pairs(model, task.pairs, layout_policy, training, objective)
    return Measured(loaded, begun, ended, losses)


def sepo_training(batch_size: int, *, checkpointing: bool = False) -> Training:
    """The defaults of sepo, except for settings that have to be the same for all trainers."""
    from sepo_train.training.settings import Training

    return Training(lr=LEARNING_RATE, batch_size=batch_size, warmup_share=0.0, gradient_checkpointing=checkpointing)


def fit_pairs(
    model: Any,  # noqa: ANN401 - PreTrainedModel, which the other ways import without sepo
    pairs: Sequence[Tree],
    layout_policy: Any,  # noqa: ANN401 - the same
    training: Training,
    objective: str,
) -> tuple[list[float], list[float]]:
    """Train as `sepo train` and, with "dpo", `sepo oracle` do; return the end of each step in seconds, and its loss."""
    import numpy as np

    from sepo_train.training.objectives import objective as named
    from sepo_train.training.reference_logps import computed_ref_logps
    from sepo_train.training.run import fit
    from sepo_train.training.selected_pairs import TrainingPair

    minimised = named("dpo", beta=BETA) if objective == "dpo" else named("sepo", gamma=GAMMA)
    sums = [(0.0, 0.0)] * len(pairs)
    if minimised.needs_reference:
        sums = [(chosen, rejected) for chosen, rejected in computed_ref_logps(model, pairs, layout_policy).tolist()]
    rows = [TrainingPair(f"{at:016x}", tree, ref) for at, (tree, ref) in enumerate(zip(pairs, sums, strict=True))]
    # fit shuffles; these come out of it in the order of `pairs`.
    place = np.random.default_rng([training.seed, 0]).permutation(len(rows)).argsort().tolist()
    shuffled = [rows[index] for index in place]
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        history, _ = fit(
            model,
            shuffled,
            lengths=[layout_policy.length(row.tree) for row in shuffled],
            objective=minimised,
            layout_policy=layout_policy,
            training=training,
            out=Path(folder),
            resume=False,
            progress=clock,
        )
    return clock.ended, [entry["loss"] for entry in history if "loss" in entry]


class _Clock:
    """A progress that records the time at which each step ends."""

    def __init__(self) -> None:
        self.ended: list[float] = []

    def note(self, text: str) -> None:
        pass

    def step(self, done: int, total: int, text: str) -> None:
        pass

    def metrics(self, done: int, total: int, values: Mapping[str, float]) -> None:  # noqa: ARG002 - a `Progress`
        if "loss" in values:
            self.ended.append(time.perf_counter())


def by_dense(task: Task) -> Measured:
    """The plain loop of `dense.py`."""
    from dense import train_dense

    from sepo_train.models.load import load_model

    model = load_model(task.model, dtype="float32")
    if task.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    loaded, begun = status("VmRSS"), time.perf_counter()
    ended, losses = train_dense(
        model, task.pairs, batch_size=task.batch_size, rows=task.rows, lr=LEARNING_RATE, gamma=GAMMA
    )
    return Measured(loaded, begun, ended, losses)


def by_trl(task: Task) -> Measured:
    from trl_trainers import by_trl_dpo, by_trl_simpo

    return by_trl_simpo(task) if task.way == "trl simpo" else by_trl_dpo(task)


WAYS = {
    "sepo": partial(by_sepo, objective="sepo"),
    "sepo dpo": partial(by_sepo, objective="dpo"),
    "dense": by_dense,
    "trl dpo": by_trl,
    "trl dpo precomputed": by_trl,
    "trl simpo": by_trl,
}


def main() -> None:
    given = json.load(sys.stdin)
    task = Task(**given | {"pairs": [Tree(**pair) for pair in given["pairs"]]})
    if task.limit is not None:
        end_beyond(task.limit)
    disable_progress_bar()
    torch.set_num_threads(THREADS)
    measured = WAYS[task.way](task)
    steps = [later - earlier for earlier, later in zip(measured.ended, measured.ended[1:], strict=False)]
    whole = measured.ended[-1] - measured.begun
    print(json.dumps(asdict(Result(steps, measured.losses, whole, measured.loaded, status("VmHWM")))))


if __name__ == "__main__":
    main()
