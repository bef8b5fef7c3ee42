"""A training run: fit a model to preference pairs and save it as a plain transformers checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers import TrainingArguments

from sepo_data.console.interrupts import postponed, raise_noted
from sepo_data.errors import SepoError
from sepo_train.engine.head import output_scale
from sepo_train.models.device import default_device
from sepo_train.models.weight_changes import to_stored_weights
from sepo_train.training.checkpoint import (
    METRICS,
    complete_run,
    remove_partial_checkpoints,
    save_model,
    training_errors,
)
from sepo_train.training.noise_check import ALLOW, check_noise, tried_pairs
from sepo_train.training.pair_trainer import PairTrainer
from sepo_train.training.processes import end_process_group, is_main_process, joint_run
from sepo_train.training.reference_logps import POLICY
from sepo_train.training.resume import CHECKPOINTS, lacks_evaluation, last_checkpoint
from sepo_train.training.step_log import history
from sepo_train.training.trainable_model import in_training_dtype

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pydantic import JsonValue
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from sepo_data.console.progress import Progress
    from sepo_data.schemas.manifest import Manifest
    from sepo_train.engine.layout_policy import LayoutPolicy
    from sepo_train.training.objectives import Objective
    from sepo_train.training.selected_pairs import TrainingPair
    from sepo_train.training.settings import Training

    History = Sequence[dict[str, float]]


def run_training(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[TrainingPair],
    out: Path,
    *,
    plan: Manifest,
    lengths: Sequence[int],
    objective: Objective,
    layout_policy: LayoutPolicy,
    training: Training,
    overwrite: bool,
    resume: bool,
    started: float,
    progress: Progress,
    results: Callable[[History], dict[str, JsonValue]],
    evaluate: Callable[[PreTrainedModel], dict[str, float]] | None = None,
    write_records: Callable[[Path], None] | None = None,
) -> Manifest:
    """Fit `model` to `pairs` and write the complete stage directory `out`, in one process or in several.

    A signal of a scheduler stops it after the step at hand, with a checkpoint.

    Args:
        model: as `trainable_model` returns it.
        tokenizer: saved beside it.
        pairs: the pairs to train on.
        out: the directory of the run, which no other run may write meanwhile.
        plan: the manifest of the run before it has results.
        lengths: tokens of each pair's row.
        objective: the loss to minimise.
        layout_policy: the layout of rows.
        training: the settings.
        overwrite: replace another run in `out`.
        resume: continue from the last complete checkpoint in `out`.
        started: `time.monotonic()` when the stage began.
        progress: receives notes and metrics.
        results: the manifest's results, from the logged metrics.
        evaluate: metrics on the holdout pairs; runs before training, every `eval_steps`, and at the end.
        write_records: writes further files of the stage; called by the main process alone.

    Raises:
        SepoError: the model computes otherwise in training mode, or at random; the loss or a gradient is not finite, or
            the disk is full.
        RefusedError: `out` holds another run, or is being written by another process.
    """
    [start] = plan.models.values()
    with in_training_dtype(model, training):
        noise = check_noise(
            model,
            tried_pairs(pairs, lengths, training.micro_batch_size),
            layout_policy,
            name=start.name,
            own_reference=objective.needs_reference and plan.options.get("ref_logps", POLICY) == POLICY,
            allowed=training.allow_noise,
        )
    if noise is not None:
        progress.note(f"{start.name} {noise}; {ALLOW} accepts that")
    with joint_run(out, plan, overwrite=overwrite) as manifest, postponed():
        logged, weights = fit(
            model,
            pairs,
            lengths=lengths,
            objective=objective,
            layout_policy=layout_policy,
            training=training,
            out=out,
            resume=resume,
            progress=progress,
            evaluate=evaluate,
        )
        save_model(model, tokenizer, out, base=start.name, weights=weights, merge_lora=training.merge_lora)
        if write_records is not None and is_main_process():
            write_records(out)
        found = results(logged) | ({"noise": noise} if noise else {})
        return complete_run(manifest, out, started=started, results=found, progress=progress)


def fit(
    model: PreTrainedModel,
    pairs: Sequence[TrainingPair],
    *,
    lengths: Sequence[int],
    objective: Objective,
    layout_policy: LayoutPolicy,
    training: Training,
    out: Path,
    resume: bool,
    progress: Progress,
    evaluate: Callable[[PreTrainedModel], dict[str, float]] | None = None,
) -> tuple[list[dict[str, float]], dict[str, Tensor] | None]:
    """Train `model` in place; checkpoints and `metrics.jsonl` go to `out`. Arguments as in `run_training`.

    Where a scheduler takes the machine back, a checkpoint is saved and `interrupts.Stopped` raised.

    Returns:
        The logged metrics, one dictionary an optimizer step and one an evaluation; and all weights for `save_model`,
        where each process has only a part of them.
    """
    checkpoint = _checkpoint_to_resume(out, progress, resume=resume)
    evaluates_first = evaluate is not None and (checkpoint is None or lacks_evaluation(checkpoint, training.eval_steps))
    # Computed while each process has the full model: it takes a pass, which processes that share a model make jointly.
    output_scale(model)
    to_stored_weights(model)
    trainer = PairTrainer(
        model,
        _arguments(training, out, evaluates=evaluate is not None, evaluates_first=evaluates_first),
        pairs,
        lengths=lengths,
        batch_size=training.batch_size,
        warmup_share=training.warmup_share,
        objective=objective,
        layout_policy=layout_policy,
        progress=progress,
        metrics=out / METRICS,
        evaluate=evaluate,
    )
    if training.merge_lora and trainer.shares_weights:
        raise SepoError(
            "--merge-lora needs the full model in one process, and here the processes share its weights",
            "leave it out, and merge the resulting adapter: AutoPeftModelForCausalLM, merge_and_unload",
        )
    with training_errors(out):
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        # A run may have been killed between the last step and its evaluation.
        if not trainer.stopped and "loss" in history(trainer.state)[-1]:
            trainer.evaluate()
        if trainer.stopped:
            end_process_group()
            raise_noted()
        return history(trainer.state), trainer.full_weights()


def _checkpoint_to_resume(out: Path, progress: Progress, *, resume: bool) -> Path | None:
    """The checkpoint to go on from; notes what becomes of one that is not, or was asked for and is missing."""
    if is_main_process():
        remove_partial_checkpoints(out)
    checkpoint = last_checkpoint(out)
    if resume and checkpoint is None:
        progress.note(f"{out} has no complete checkpoint to resume from; starting at the first step")
    elif resume:
        progress.note(f"resuming from {checkpoint}")
    elif checkpoint is not None:
        progress.note(
            f"starting over beside {checkpoint}, which the same run left and the new checkpoints will replace; "
            "stop here and add --resume to go on from it"
        )
    return checkpoint if resume else None


def _arguments(training: Training, out: Path, *, evaluates: bool, evaluates_first: bool) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        learning_rate=training.lr,
        num_train_epochs=training.epochs,
        per_device_train_batch_size=training.micro_batch_size,
        weight_decay=0.0,
        seed=training.seed,
        bf16=training.bf16,
        use_cpu=default_device().type == "cpu",
        save_strategy="steps" if training.save_steps else "no",
        save_steps=training.save_steps or 1,
        save_total_limit=2,
        eval_strategy="steps" if evaluates and training.eval_steps else "no",
        eval_steps=training.eval_steps or None,
        eval_on_start=evaluates_first,
        logging_steps=1,
        report_to=training.report_to,
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    # A process trains on one accelerator: nn.DataParallel would scatter the rows of a layout that belongs together.
    arguments._n_gpu = min(1, arguments.n_gpu)  # noqa: SLF001 - there is no public way
    if arguments.n_gpu > 1:
        raise RuntimeError("transformers uses several accelerators in one process: TrainingArguments has changed")
    return arguments
