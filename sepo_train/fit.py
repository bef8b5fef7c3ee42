"""Fit a model to preference pairs and save it as a plain transformers checkpoint."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from transformers import TrainingArguments, set_seed

from sepo_data.atomic import SUFFIX, write_text
from sepo_train.models import default_device, load_model
from sepo_train.pair_trainer import PairLoss, PairTrainer, TrainingPair

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from sepo_data.progress import Progress
    from sepo_train.logps import Engine

CHECKPOINTS = "checkpoints"
METRICS = "metrics.jsonl"


@dataclass(frozen=True, slots=True)
class Training:
    """How to train; what each field is called on the command line, `_` for `-`.

    Attributes:
        lr: peak learning rate of AdamW; cosine decay to 0.
        epochs: passes over the pairs.
        batch_size: pairs of one optimizer step, over all processes.
        micro_batch_size: pairs of one forward and backward pass on one process.
        warmup_share: share of the steps over which the learning rate rises, from 0 to 1.
        lora_r: rank of LoRA adapters on all linear layers; 0 trains every parameter.
        seed: of the data order and the adapters.
        gradient_checkpointing: recompute activations in the backward pass to save memory.
        save_steps: optimizer steps between checkpoints to resume from; 0 for none.
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
    save_steps: int = 0
    report_to: str = "none"


def trainable_model(name: str, training: Training) -> PreTrainedModel:
    """Load `name` in fp32 with dropout off, under LoRA adapters where they are asked for."""
    set_seed(training.seed)
    model = load_model(name, dtype="float32")
    for module in model.modules():
        # A reward or loss that changes from pass to pass is noise; DPO and its kin train without dropout.
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            vars(module)["attention_dropout"] = 0.0
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


def fit(
    model: PreTrainedModel,
    pairs: Sequence[TrainingPair],
    *,
    pair_loss: PairLoss,
    engine: Engine,
    training: Training,
    out: Path,
    resume: bool,
    progress: Progress,
) -> list[dict[str, float]]:
    """Train `model` in place; checkpoints and `metrics.jsonl` go to `out`.

    Returns:
        The logged metrics, one dictionary an optimizer step.
    """
    trainer = PairTrainer(
        model, _arguments(training, out), pairs, pair_loss=pair_loss, engine=engine, progress=progress
    )
    checkpoints = sorted((out / CHECKPOINTS).glob("checkpoint-*"))
    if resume and checkpoints:
        progress.note(f"resuming from {max(checkpoints, key=lambda path: int(path.name.split('-')[1]))}")
    trainer.train(resume_from_checkpoint=True if resume and checkpoints else None)
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    write_text(out / METRICS, "".join(json.dumps(entry) + "\n" for entry in history))
    return history


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Save a safetensors checkpoint with its tokenizer; a file appears only when it is whole."""
    partial = out / f"weights{SUFFIX}"
    shutil.rmtree(partial, ignore_errors=True)
    model.eval()
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    for file in partial.iterdir():
        file.replace(out / file.name)
    partial.rmdir()
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)


def _arguments(training: Training, out: Path) -> TrainingArguments:
    on_cpu = default_device().type == "cpu"
    arguments = TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        learning_rate=training.lr,
        num_train_epochs=training.epochs,
        per_device_train_batch_size=training.micro_batch_size,
        warmup_steps=training.warmup_share,
        lr_scheduler_type="cosine",
        weight_decay=0.0,
        seed=training.seed,
        bf16=not on_cpu,
        use_cpu=on_cpu,
        save_strategy="steps" if training.save_steps else "no",
        save_steps=training.save_steps or 1,
        save_total_limit=2,
        logging_steps=1,
        report_to=training.report_to,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=not on_cpu,
    )
    pairs_at_once = training.micro_batch_size * arguments.world_size
    arguments.gradient_accumulation_steps = max(1, training.batch_size // pairs_at_once)
    return arguments
