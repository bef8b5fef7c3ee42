"""One training run of `train.py`: the task given to its process, and the result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from process import BEYOND

if TYPE_CHECKING:
    from sepo_train.engine.layout import Tree

LEARNING_RATE = 1e-5
GAMMA, BETA = 2.0, 0.1
BATCH = 4
"""Pairs of a step."""

THREADS = 2


@dataclass(frozen=True)
class Task:
    """One training run.

    Attributes:
        way: one of `WAYS`.
        model: a folder, a Hub id or a GGUF file.
        pairs: with the selected tokens of each; the pairs of a step follow each other.
        batch_size: pairs of a step.
        rows: most padded rows of one forward pass, where the way has padded rows.
        checkpointing: recompute activations in the backward pass.
        limit: bytes of memory beyond which the run is ended.
    """

    way: str
    model: str
    pairs: list[Tree]
    batch_size: int = BATCH
    rows: int = 2 * BATCH
    checkpointing: bool = False
    limit: int | None = None


@dataclass(frozen=True)
class Result:
    """The result of a run.

    Attributes:
        steps: seconds from the end of a step to that of the next, so that the first has none.
        losses: of all steps.
        whole: seconds from the loaded model to the end of the last step.
        loaded: bytes in memory with that model.
        peak: most bytes in memory at any time.
    """

    steps: list[float]
    losses: list[float]
    whole: float
    loaded: int
    peak: int


def run(task: Task) -> Result | None:
    """`task` in a process of its own; None where it took more memory than it may."""
    command = [sys.executable, str(Path(__file__).with_name("trainers.py"))]
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore::FutureWarning"}  # TRL's use of transformers
    done = subprocess.run(  # noqa: S603 - our own file
        command, input=json.dumps(asdict(task)), env=quiet, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode == BEYOND:
        return None
    done.check_returncode()
    return Result(**json.loads(done.stdout.splitlines()[-1]))


@dataclass(frozen=True)
class Measured:
    """What a way finds out about itself: bytes with the model loaded, when it began, when steps ended, their losses."""

    loaded: int
    begun: float
    ended: list[float]
    losses: list[float]
