"""The settings of a training run: one value for `sepo oracle` and `sepo train`, made without importing torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Literal, TypeAlias

from sepo_data.checked import at_least, between, check_fields
from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from pydantic import JsonValue

TrainingDtype: TypeAlias = Literal["float32", "bfloat16"]
"""The number types of products in training."""

RUNTIME = {"decides": False}
"""Marks a field that decides only how the weights are computed, so that a run may resume under another value."""


@dataclass(frozen=True, slots=True)
class Training:
    """Settings of a run; each field is called on the command line as here, `_` for `-`.

    Attributes:
        lr: peak learning rate of AdamW; cosine decay towards 0.
        epochs: passes over the pairs.
        batch_size: pairs of one optimizer step, over all processes.
        micro_batch_size: most pairs of one forward and backward pass on one process.
        warmup_share: share of the steps over which the learning rate rises, from 0 to 1.
        lora_r: rank of LoRA adapters on all linear layers; 0 trains every parameter.
        seed: random seed of the data order and the adapters.
        gradient_checkpointing: recompute activations in the backward pass to save memory.
        merge_lora: save the adapters merged into the model, as a full checkpoint.
        dtype: that of products in training, where weights and gradients are fp32: "bfloat16" is autocast. None for fp32
            on CPUs and bf16 elsewhere.
        save_steps: optimizer steps between checkpoints to resume from; 0 for none.
        eval_steps: optimizer steps between evaluations on the holdout pairs, besides the first and the last; 0: none.
        report_to: loggers as transformers names them: none, tensorboard, wandb, ...
        trust_remote_code: run the code that comes with the model or its tokenizer; in the plan only if so.
        allow_noise: train a model that computes otherwise in training mode, or at random; in the plan only if so.

    Raises:
        SepoError: a setting cannot work; raised before any model is loaded.
    """

    lr: float = 1e-6
    epochs: float = 1.0
    batch_size: int = 32
    micro_batch_size: int = field(default=4, metadata=RUNTIME)
    warmup_share: float = 0.1
    lora_r: int = 0
    seed: int = 0
    gradient_checkpointing: bool = field(default=False, metadata=RUNTIME)
    merge_lora: bool = False
    dtype: TrainingDtype | None = None
    save_steps: int = field(default=0, metadata=RUNTIME)
    eval_steps: int = field(default=0, metadata=RUNTIME)
    report_to: str = field(default="none", metadata=RUNTIME)
    trust_remote_code: bool = False
    allow_noise: bool = False

    def plan(self) -> dict[str, JsonValue]:
        """The fields that decide the resulting weights."""
        decides = self._fields(decides=True) | {"dtype": "bfloat16" if self.bf16 else "float32"}
        for flag in ("trust_remote_code", "allow_noise"):
            if not decides[flag]:
                del decides[flag]  # as in manifests of before
        return decides

    def runtime(self) -> dict[str, JsonValue]:
        """The fields that decide only how the weights are computed, so that a run may resume under others."""
        return self._fields(decides=False)

    def _fields(self, *, decides: bool) -> dict[str, JsonValue]:
        values = asdict(self)
        return {each.name: values[each.name] for each in fields(self) if each.metadata.get("decides", True) is decides}

    @property
    def bf16(self) -> bool:
        """True if products are computed in bf16."""
        from sepo_train.models.device import default_device

        return self.dtype == "bfloat16" if self.dtype else default_device().type != "cpu"

    def __post_init__(self) -> None:
        check_fields(
            self,
            lr=at_least(0),
            batch_size=at_least(1),
            micro_batch_size=at_least(1),
            warmup_share=between(0, 1),
            lora_r=at_least(0),
            seed=at_least(0),
            dtype=TrainingDtype,
            save_steps=at_least(0),
            eval_steps=at_least(0),
        )
        if self.epochs <= 0:
            raise SepoError(f"--epochs {self.epochs:g} leaves nothing to train", "give more than 0")
        if self.merge_lora and not self.lora_r:
            raise SepoError("--merge-lora without --lora-r has nothing to merge", "give --lora-r 16, or leave it out")
        if self.report_to not in {"none", "all"}:
            _check_logger(self.report_to)


def _check_logger(name: str) -> None:
    """Raise for a logger that transformers does not find installed."""
    from transformers.integrations.integration_utils import get_available_reporting_integrations

    known = {"none", "all", *get_available_reporting_integrations()}
    if name not in known:
        raise SepoError(
            f"--report-to {name} is not a logger that is installed here",
            f"choose one of {', '.join(sorted(known))}, or install it",
        )
