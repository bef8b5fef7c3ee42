"""Fit a model to preference pairs and save it as a plain transformers checkpoint."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, cast

import torch
from accelerate import PartialState
from transformers import TrainingArguments, set_seed

from schemas.errors import SepoError
from sepo_data.atomic import write_text
from sepo_data.directory import MANIFEST, claim
from sepo_train.models import adapter_base, default_device, load_model, resolve
from sepo_train.pair_trainer import PairLoss, PairTrainer, TrainingPair

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic import JsonValue
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from schemas.manifest import Manifest
    from sepo_data.progress import Progress
    from sepo_train.engine import Engine

CHECKPOINTS = "checkpoints"
METRICS = "metrics.jsonl"
SETTINGS = frozenset({"micro_batch_size", "gradient_checkpointing", "save_steps", "report_to"})


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

    def plan(self) -> dict[str, JsonValue]:
        """The fields that decide the weights that come out."""
        return {name: value for name, value in asdict(self).items() if name not in SETTINGS}

    def settings(self) -> dict[str, JsonValue]:
        """The fields that decide only how they are computed, so that a run may go on under others."""
        return {name: value for name, value in asdict(self).items() if name in SETTINGS}

    def __post_init__(self) -> None:
        """Refuse what cannot work before any model is loaded."""
        if self.epochs <= 0:
            raise SepoError(f"--epochs {self.epochs:g} leaves nothing to train", "give more than 0")
        from transformers.integrations.integration_utils import get_available_reporting_integrations

        known = {"none", "all", *get_available_reporting_integrations()}
        if self.report_to not in known:
            raise SepoError(
                f"--report-to {self.report_to} is not a logger that is installed here",
                f"choose one of {', '.join(sorted(known))}, or install it",
            )


def claim_together(out: Path, plan: Manifest, *, overwrite: bool) -> Manifest:
    """`claim` for all processes of a run: the main one starts or replaces `out`, the others find it so."""
    with _processes().main_process_first():
        return claim(out, plan, overwrite=overwrite and is_main_process())


def is_main_process() -> bool:
    """Whether this process is the one that writes."""
    return bool(_processes().is_main_process)


def _processes() -> PartialState:
    """The processes that `torchrun` or `accelerate launch` started, or this one alone."""
    return PartialState(cpu=default_device().type == "cpu")


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

        model = PeftModel.from_pretrained(load_model(base, dtype="float32"), resolve(name)).merge_and_unload()
        model.requires_grad_(requires_grad=True)
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
        model,
        _arguments(training, out),
        pairs,
        batch_size=training.batch_size,
        warmup_share=training.warmup_share,
        pair_loss=pair_loss,
        engine=engine,
        progress=progress,
    )
    checkpoint = _last_checkpoint(out) if resume else None
    if checkpoint is not None:
        progress.note(f"resuming from {checkpoint}")
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    if is_main_process():
        write_text(out / METRICS, "".join(json.dumps(entry) + "\n" for entry in history))
    return history


def _last_checkpoint(out: Path) -> Path | None:
    """The newest whole checkpoint: the trainer's state is the last file to be written."""
    whole = (file.parent for file in (out / CHECKPOINTS).glob("checkpoint-*/trainer_state.json"))
    return max(whole, key=lambda folder: int(folder.name.split("-")[1]), default=None)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Save a safetensors checkpoint with its tokenizer; a file appears only when it is whole."""
    if not is_main_process():
        return
    partial = out / CHECKPOINTS / "whole"
    shutil.rmtree(partial, ignore_errors=True)
    model.eval()
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    for file in partial.iterdir():
        file.replace(out / file.name)
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)


def finish(manifest: Manifest, out: Path, *, started: float, results: dict[str, JsonValue]) -> Manifest:
    """Write the manifest that says that the checkpoint in `out` is whole."""
    seconds = round(time.monotonic() - started, 3)
    finished = manifest.model_copy(update={"finished": True, "seconds": seconds, "results": results})
    if is_main_process():
        write_text(out / MANIFEST, finished.to_json())
    return finished


def _arguments(training: Training, out: Path) -> TrainingArguments:
    on_cpu = default_device().type == "cpu"
    return TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        learning_rate=training.lr,
        num_train_epochs=training.epochs,
        per_device_train_batch_size=training.micro_batch_size,
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
    )
