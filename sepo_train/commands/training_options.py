"""The options of every command that trains, built into one `Training`, and what surrounds training."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from sepo_data.commands.built_options import takes
from sepo_data.commands.grouped_help import MODELS, OUTPUT, RUN, TRAINING
from sepo_data.commands.options import number, option
from sepo_data.commands.session import confirm_overwrite, session
from sepo_train.commands.model_options import TrustRemoteCode
from sepo_train.commands.typed_command import typed_command
from sepo_train.training.settings import Training, TrainingDtype

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sepo_data.console.terminal import Terminal

NOT_TO_RESUME = frozenset({"--resume", "--overwrite", "--yes"})
"""Flags that a command leaves out when it is given again with --resume."""

Seed = Annotated[int, option(TRAINING, min=0, help="random seed: row sample, data order, LoRA init")]
Resume = Annotated[bool, option(RUN, "--resume", help="continue from the last checkpoint in --out")]


def build_training(
    lr: Annotated[float, number(TRAINING, "--lr", help="peak learning rate of AdamW")] = 1e-6,
    epochs: Annotated[float, number(TRAINING, help="passes over the pairs")] = 1.0,
    batch_size: Annotated[int, option(TRAINING, min=1, help="pairs of one optimizer step")] = 32,
    micro_batch_size: Annotated[int, option(RUN, min=1, help="pairs of one forward pass on one process")] = 4,
    lora_r: Annotated[
        int, option(TRAINING, "--lora-r", min=0, help="rank of LoRA adapters; 0 trains every parameter")
    ] = 0,
    merge_lora: Annotated[bool, option(OUTPUT, "--merge-lora", help="save adapters as part of the weights")] = False,
    gradient_checkpointing: Annotated[
        bool, option(RUN, "--gradient-checkpointing", help="save memory by computing activations twice")
    ] = False,
    dtype: Annotated[
        TrainingDtype | None,
        option(MODELS, help="compute dtype; float32 on CPUs, bfloat16 elsewhere. Weights are float32"),
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
    allow_noise: Annotated[
        bool,
        option(TRAINING, "--allow-noise", help="train a model whose passes in training mode are random, or others"),
    ] = False,
    seed: Seed = 0,
    save_steps: Annotated[int, option(RUN, min=0, help="optimizer steps between checkpoints; 0 for none")] = 0,
    report_to: Annotated[
        str, option(RUN, metavar="LOGGER", help="loggers as transformers names them: none, tensorboard, wandb, ...")
    ] = "none",
) -> Training:
    """Build a `Training` of the options of every command that trains."""
    return Training(
        lr=lr,
        epochs=epochs,
        batch_size=batch_size,
        micro_batch_size=micro_batch_size,
        lora_r=lora_r,
        merge_lora=merge_lora,
        gradient_checkpointing=gradient_checkpointing,
        dtype=dtype,
        seed=seed,
        save_steps=save_steps,
        report_to=report_to,
        trust_remote_code=trust_remote_code,
        allow_noise=allow_noise,
    )


trains = takes("training", build_training)


@contextmanager
def training_session(
    out: Path, *, overwrite: bool, resume: bool, yes: bool, quiet: bool, no_progress: bool
) -> Iterator[tuple[Terminal, bool]]:
    """A session of processes that train together, and whether this is the first one.

    The first process alone asks, shows progress and prints the answer; all of them end together.
    """
    from sepo_train.scoring.process_rank import current_rank
    from sepo_train.training.resume import how_to_go_on

    if overwrite and resume:
        raise typer.BadParameter("--overwrite deletes the checkpoint that --resume continues from: give one of them")
    if first := current_rank().first:
        confirm_overwrite(out, overwrite=overwrite, yes=yes)
    advice = partial(how_to_go_on, out, typed_command(NOT_TO_RESUME))
    with session(quiet=quiet or not first, no_progress=no_progress, after_interrupt=advice) as terminal:
        yield terminal, first
        from sepo_train.training.processes import end_process_group

        end_process_group()
