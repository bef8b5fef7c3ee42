"""Fit a model to preference pairs and save it as a plain transformers checkpoint."""

from __future__ import annotations

import errno
import shutil
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, cast

import torch
from safetensors import SafetensorError
from transformers import TrainingArguments, set_seed

from sepo_data.errors import SepoError
from sepo_data.stages.directory import MANIFEST
from sepo_data.storage.atomic import write_text
from sepo_train.engine.head import output_scale
from sepo_train.models.load import adapter_base, default_device, load_model, resolve
from sepo_train.models.lora import merge_lora as merge
from sepo_train.publishing.curve import CURVE, draw_curve
from sepo_train.publishing.model_card import write_model_card
from sepo_train.training.pair_trainer import PairTrainer, history
from sepo_train.training.processes import is_main_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pydantic import JsonValue
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from sepo_data.console.progress import Progress
    from sepo_data.schemas.manifest import Manifest
    from sepo_train.engine.choose import Engine
    from sepo_train.training.objectives import Objective
    from sepo_train.training.pair_trainer import TrainingPair

CHECKPOINTS = "checkpoints"
METRICS = "metrics.jsonl"
STATE = "trainer_state.json"
FULL = ("os error 28", "PytorchStreamWriter", "unexpected pos")
"""What safetensors and `torch.save` say of a full disk; the latter tells no more than where its writer stopped."""
SETTINGS = frozenset({"micro_batch_size", "gradient_checkpointing", "save_steps", "eval_steps", "report_to"})


@dataclass(frozen=True, slots=True)
class Training:
    """How to train; what each field is called on the command line, `_` for `-`.

    Attributes:
        lr: peak learning rate of AdamW; cosine decay towards 0.
        epochs: passes over the pairs.
        batch_size: pairs of one optimizer step, over all processes.
        micro_batch_size: most pairs of one forward and backward pass on one process.
        warmup_share: share of the steps over which the learning rate rises, from 0 to 1.
        lora_r: rank of LoRA adapters on all linear layers; 0 trains every parameter.
        seed: of the data order and the adapters.
        gradient_checkpointing: recompute activations in the backward pass to save memory.
        merge_lora: save the adapters merged into the model, as a whole checkpoint.
        dtype: that of products in training, where weights and gradients are fp32: "bfloat16" is autocast. None for fp32
            on CPUs and bf16 elsewhere.
        save_steps: optimizer steps between checkpoints to resume from; 0 for none.
        eval_steps: optimizer steps between looks at the held-out pairs, besides the first and the last; 0 for none.
        report_to: loggers as transformers names them: none, tensorboard, wandb, ...
    """

    lr: float = 1e-6
    epochs: float = 1.0
    batch_size: int = 32
    micro_batch_size: int = 4
    warmup_share: float = 0.1
    lora_r: int = 0
    seed: int = 0
    gradient_checkpointing: bool = False
    merge_lora: bool = False
    dtype: Literal["float32", "bfloat16"] | None = None
    save_steps: int = 0
    eval_steps: int = 0
    report_to: str = "none"

    def plan(self) -> dict[str, JsonValue]:
        """The fields that decide the weights that come out."""
        decides = {name: value for name, value in asdict(self).items() if name not in SETTINGS}
        return decides | {"dtype": "bfloat16" if self.bf16 else "float32"}

    def settings(self) -> dict[str, JsonValue]:
        """The fields that decide only how they are computed, so that a run may go on under others."""
        return {name: value for name, value in asdict(self).items() if name in SETTINGS}

    @property
    def bf16(self) -> bool:
        """Whether products are made in bf16."""
        return self.dtype == "bfloat16" if self.dtype else default_device().type != "cpu"

    def __post_init__(self) -> None:
        """Refuse what cannot work before any model is loaded."""
        if self.epochs <= 0:
            raise SepoError(f"--epochs {self.epochs:g} leaves nothing to train", "give more than 0")
        if self.merge_lora and not self.lora_r:
            raise SepoError("--merge-lora without --lora-r has nothing to merge", "give --lora-r 16, or leave it out")
        from transformers.integrations.integration_utils import get_available_reporting_integrations

        known = {"none", "all", *get_available_reporting_integrations()}
        if self.report_to not in known:
            raise SepoError(
                f"--report-to {self.report_to} is not a logger that is installed here",
                f"choose one of {', '.join(sorted(known))}, or install it",
            )


def trainable_model(name: str, training: Training) -> PreTrainedModel:
    """Load `name` in fp32 with dropout off, under LoRA adapters where they are asked for."""
    set_seed(training.seed)
    if (base := adapter_base(name)) is None:
        model = load_model(name, dtype="float32")
    elif training.lora_r:
        raise SepoError(
            f"{name} is a LoRA adapter of {base}, and an adapter cannot be trained on top of it",
            "leave --lora-r out, or merge the adapter into its base model first",
        )
    else:
        from peft import PeftModel

        adapted = PeftModel.from_pretrained(load_model(base, dtype="float32"), resolve(name))
        model = merge(cast("PreTrainedModel", adapted))
    _disable_dropout(model)
    if training.lora_r:
        from peft import LoraConfig, get_peft_model

        adapters = LoraConfig(
            r=training.lora_r, lora_alpha=2 * training.lora_r, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        # It stands in for the model it wraps, and peft says so only at run time.
        model = cast("PreTrainedModel", get_peft_model(model, adapters))
    if training.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        # Frozen embeddings under adapters give no gradient, and checkpointing would cut the layers off.
        model.enable_input_require_grads()
    return model


def in_training_dtype(model: PreTrainedModel, training: Training) -> torch.autocast:
    """A context in which `model` makes its products as in training, so that what is computed before is comparable."""
    return torch.autocast(model.device.type, torch.bfloat16, enabled=training.bf16)


def _disable_dropout(model: PreTrainedModel) -> None:
    """A reward or loss that changes from pass to pass is noise; DPO and its kin train without dropout."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    # Others keep the probability in an attribute, or read it from the configuration in every pass.
    for owner in (*model.modules(), model.config, model.config.get_text_config()):
        for name, value in vars(owner).items():
            if "drop" in name and isinstance(value, float):
                setattr(owner, name, 0.0)


def fit(
    model: PreTrainedModel,
    pairs: Sequence[TrainingPair],
    *,
    lengths: Sequence[int],
    objective: Objective,
    engine: Engine,
    training: Training,
    out: Path,
    resume: bool,
    progress: Progress,
    held_out: Callable[[PreTrainedModel], dict[str, float]] | None = None,
) -> tuple[list[dict[str, float]], dict[str, Tensor] | None]:
    """Train `model` in place; checkpoints and `metrics.jsonl` go to `out`.

    Args:
        model: as `trainable_model` gives it.
        pairs: what is trained on.
        lengths: tokens of each pair's row.
        objective: what is minimised.
        engine: how rows are laid out.
        training: how to train.
        out: the directory of the run.
        resume: go on from the last whole checkpoint in `out`.
        progress: told how far it is.
        held_out: what is measured before training, every `eval_steps`, and at the end.

    Returns:
        The logged metrics, one dictionary an optimizer step and one a look at the held-out pairs; and for `save` the
        weights, where the processes shared them out among them.
    """
    checkpoint = _last_checkpoint(out) if resume else None
    # Asked while each process has the whole model: it takes a pass, which of several that share it all have to make.
    output_scale(model)
    trainer = PairTrainer(
        model,
        _arguments(training, out, looks=held_out is not None, resumed=checkpoint is not None),
        pairs,
        lengths=lengths,
        batch_size=training.batch_size,
        warmup_share=training.warmup_share,
        objective=objective,
        engine=engine,
        progress=progress,
        metrics=out / METRICS,
        held_out=held_out,
    )
    if training.merge_lora and trainer.shares_weights:
        raise SepoError(
            "--merge-lora needs the whole model in one process, and here the processes share its weights",
            "leave it out, and merge the adapter that comes out: AutoPeftModelForCausalLM, merge_and_unload",
        )
    if checkpoint is not None:
        progress.note(f"resuming from {checkpoint}")
    with _told_where_to_go_on(out):
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        if "loss" in history(trainer.state)[-1]:  # it was stopped between the last step and the look after it
            trainer.evaluate()
        return history(trainer.state), trainer.whole_weights()


@contextmanager
def _told_where_to_go_on(out: Path) -> Iterator[None]:
    """Add to an error of training which checkpoint is whole, and make one of a disk that is full."""
    try:
        yield
    except (SepoError, OSError, SafetensorError, RuntimeError) as error:
        last = _last_checkpoint(out)
        if isinstance(error, SepoError):
            kept = f"; {last} is the last checkpoint before" if last else ""
            raise SepoError(f"{error}{kept}", error.hint) from None
        if getattr(error, "errno", None) != errno.ENOSPC and not any(text in str(error) for text in FULL):
            raise
        if is_main_process():
            for folder in (out / CHECKPOINTS).glob("checkpoint-*"):
                if not (folder / STATE).exists():
                    shutil.rmtree(folder, ignore_errors=True)
        raise SepoError(
            f"no space is left for a checkpoint in {out}",
            f"free some and give the same command with --resume: {last} is whole"
            if last
            else "free some, or choose another --out",
        ) from None


def _last_checkpoint(out: Path) -> Path | None:
    """The newest whole checkpoint: the trainer's state is the last file to be written."""
    whole = (file.parent for file in (out / CHECKPOINTS).glob(f"checkpoint-*/{STATE}"))
    return max(whole, key=lambda folder: int(folder.name.split("-")[1]), default=None)


def save(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    out: Path,
    *,
    weights: dict[str, Tensor] | None = None,
    merge_lora: bool = False,
) -> None:
    """Save a safetensors checkpoint with its tokenizer; a file appears only when it is whole.

    With `weights`, `model` itself has only a part of them. With `merge_lora`, it has adapters, which become part of
    its weights.
    """
    if not is_main_process():
        return
    partial = out / CHECKPOINTS / "whole"
    shutil.rmtree(partial, ignore_errors=True)
    model.eval()
    if merge_lora:
        model = merge(model)
    if weights is not None:
        # Gathered apart, weights that are tied came out as two.
        weights = {name: weight for name, weight in weights.items() if name not in model.all_tied_weights_keys}
    model.save_pretrained(partial, state_dict=weights)
    tokenizer.save_pretrained(partial)
    for file in partial.iterdir():
        file.replace(out / file.name)


def finish(
    manifest: Manifest, out: Path, *, started: float, results: dict[str, JsonValue], progress: Progress
) -> Manifest:
    """Write the manifest that says that the checkpoint in `out` is whole, after the curve and the card of the run."""
    seconds = round(time.monotonic() - started, 3)
    finished = manifest.model_copy(update={"finished": True, "seconds": seconds, "results": results})
    if is_main_process():
        if not draw_curve(out / METRICS, out / CURVE):
            progress.note("no picture of the training curve: pip install 'sepo[plot]' draws it the next time")
        write_model_card(out, finished)
        write_text(out / MANIFEST, finished.to_json())
        _clear_checkpoints(out)
    return finished


def _clear_checkpoints(out: Path) -> None:
    """Remove the checkpoints of a run that is whole, and keep what TensorBoard wrote beside them."""
    if (runs := out / CHECKPOINTS / "runs").exists():
        shutil.rmtree(out / "runs", ignore_errors=True)
        runs.replace(out / "runs")
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)


def _arguments(training: Training, out: Path, *, looks: bool, resumed: bool) -> TrainingArguments:
    on_cpu = default_device().type == "cpu"
    arguments = TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        learning_rate=training.lr,
        num_train_epochs=training.epochs,
        per_device_train_batch_size=training.micro_batch_size,
        weight_decay=0.0,
        seed=training.seed,
        bf16=training.bf16,
        use_cpu=on_cpu,
        save_strategy="steps" if training.save_steps else "no",
        save_steps=training.save_steps or 1,
        save_total_limit=2,
        eval_strategy="steps" if looks and training.eval_steps else "no",
        eval_steps=training.eval_steps or None,
        eval_on_start=looks and not resumed,
        logging_steps=1,
        report_to=training.report_to,
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    # A process has one accelerator: nn.DataParallel would deal out the rows of a layout that belongs together.
    arguments._n_gpu = min(1, arguments.n_gpu)  # noqa: SLF001 - there is no public way
    return arguments
