"""`transformers.Trainer` for preference pairs: a batch is a layout of pairs, each with a loss of its own."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from sepo_data.console.interrupts import Stopped, not_postponed, note_again, preempted
from sepo_data.errors import SepoError
from sepo_train.engine.logps import default_batch_tokens
from sepo_train.engine.pair_logps import response_logps
from sepo_train.models.noise import noise_as_configured
from sepo_train.models.weight_changes import to_stored_weights
from sepo_train.training.micro_batches import MicroBatches, PairRows, collate
from sepo_train.training.objectives import pair_metrics
from sepo_train.training.step_log import StepLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from accelerate.state import AcceleratorState
    from torch import Tensor
    from torch.optim import Optimizer
    from transformers import PreTrainedModel, TrainingArguments

    from sepo_data.console.progress import Progress
    from sepo_train.engine.layout_policy import LayoutPolicy
    from sepo_train.engine.pair_logps import SideLogps
    from sepo_train.training.objectives import Objective
    from sepo_train.training.selected_pairs import TrainingPair

PAIR_METRICS = (
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "rewards/accuracies",
    "logps/chosen",
    "logps/rejected",
    "tokens/selected_fraction",
)
"""The metrics logged beside the loss: means over the pairs of a step."""


def learning_rate_factor(step: int, steps: int, warmup_share: float) -> float:
    """The share of the peak learning rate in `step` (from 0) of `steps`: a linear rise, then cosine decay.

    Never 0, so that every step counts; a run of one step that does not warm up all the way has the full rate.
    """
    warmup = int(warmup_share * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2


class PairTrainer(Trainer):
    """Trains on `TrainingPair`s; every pair counts once, whatever the micro-batches and the number of processes.

    A batch of transformers is a full optimizer step here: the micro-batches of this process, whose number may change
    from step to step.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        arguments: TrainingArguments,
        pairs: Sequence[TrainingPair],
        *,
        lengths: Sequence[int],
        batch_size: int,
        warmup_share: float,
        objective: Objective,
        layout_policy: LayoutPolicy,
        progress: Progress,
        metrics: Path,
        evaluate: Callable[[PreTrainedModel], dict[str, float]] | None = None,
    ) -> None:
        self._steps = MicroBatches(
            lengths,
            batch_size=batch_size,
            micro_batch_size=arguments.per_device_train_batch_size,
            tokens=default_batch_tokens(),
            seed=arguments.seed,
            epoch=lambda: int(self.state.epoch or 0),
            rank=arguments.process_index,
            processes=arguments.world_size,
            # A run that resumes after its last step would make another one.
            steps=lambda: self.state.max_steps,
        )
        # The trainer writes it into the configuration, which is saved: generation would be slow ever after.
        arguments.use_cache = getattr(model.config, "use_cache", True)
        self._rows = PairRows(pairs)
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=self._rows,
            eval_dataset=self._rows,  # never read: transformers checks only that one is present
            data_collator=cast("Any", collate(layout_policy)),
        )
        _keep_sums_exact(self.accelerator.state)
        self._warmup_share = warmup_share
        self._objective = objective
        self._measure = evaluate
        self.stopped = False  # by a scheduler, with a checkpoint
        self._pairs_of_step = ""
        self._sums = torch.zeros(len(PAIR_METRICS) + 1, device=arguments.device)
        # Standard output belongs to the command's answer.
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        self.add_callback(StepLog(progress, metrics, evaluates=evaluate is not None))

    def get_train_dataloader(self) -> DataLoader[list[TrainingPair]]:
        """This process's steps; not wrapped by accelerate, which would distribute them a second time."""
        return DataLoader(self._rows, batch_sampler=self._steps, collate_fn=self.data_collator)

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LambdaLR:
        """`learning_rate_factor` of each step; a schedule of transformers has rate 0 in the first, or only, step."""
        if self.lr_scheduler is None:
            self.lr_scheduler = LambdaLR(
                cast("Optimizer", optimizer or self.optimizer),
                lambda step: learning_rate_factor(step, num_training_steps, self._warmup_share),
            )
        return self.lr_scheduler

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: Any,  # noqa: ANN401 - the micro-batches of a step, where transformers has one batch
        num_items_in_batch: Tensor | int | None = None,  # noqa: ARG002 - as in transformers
    ) -> Tensor:
        """Run forward and backward of each micro-batch; processes exchange gradients in the last one only."""
        model.train()
        self._pairs_of_step = ", ".join(pair_id for batch in inputs for pair_id in batch["pair_ids"])
        pairs = torch.stack([batch["weights"].sum() for batch in inputs]).sum().to(self.args.device)
        pairs = self.accelerator.gather(pairs).sum()
        loss = torch.zeros((), device=self.args.device)
        for number, batch in enumerate(inputs, start=1):
            last = number == len(inputs)
            self.accelerator.sync_gradients = last
            with nullcontext() if last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    part = self.compute_loss(model, batch, num_items_in_batch=pairs)
                self.accelerator.backward(part)
            loss += part.detach()
        return loss

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Tensor | float | None = None) -> Tensor | float | None:
        """The norm of the step's gradient; raise before an optimizer step from which the weights would not recover."""
        norm = super()._get_grad_norm(model, grad_norm)
        if norm is not None and not math.isfinite(float(norm)):
            raise SepoError(
                f"the gradient is not finite in step {self.state.global_step + 1}, of pairs {self._pairs_of_step}",
                "lower --lr, or inspect the pairs with `sepo show`",
            )
        return norm

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,  # noqa: FBT001, FBT002 - as in transformers
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """The micro-batch's share of the mean loss over the pairs of the step."""
        if return_outputs:
            raise NotImplementedError("a pair trainer has no outputs besides its loss")
        chosen, rejected = response_logps(model, inputs["layout"], inputs["ref_logps"])
        losses = self._objective.loss(chosen, rejected)
        weights = inputs["weights"].to(losses.device)
        if not torch.isfinite(losses).all():
            finite = torch.isfinite(losses).tolist()
            named = ", ".join(pair_id for pair_id, good in zip(inputs["pair_ids"], finite, strict=True) if not good)
            raise SepoError(
                f"the loss is not finite for pairs {named} in step {self.state.global_step + 1}",
                "lower --lr, or inspect the pairs with `sepo show`",
            )
        self._record(chosen, rejected, inputs["selected_fraction"].to(losses.device), weights)
        pairs = num_items_in_batch if num_items_in_batch is not None else weights.sum()
        # Data parallelism averages gradients over the processes; the loss needs the sum over all pairs.
        return (losses * weights).sum() * self.accelerator.num_processes / pairs

    def evaluate(self, *_args: Any, **_options: Any) -> dict[str, float]:  # noqa: ANN401 - as in transformers
        """Log the metrics of `evaluate`, under keys that begin with `eval_`."""
        if self._measure is None:
            return {}
        try:
            # It may take longer than a scheduler waits. Several processes stop at the end of a step alone.
            with not_postponed(alone=self.args.world_size == 1):
                measured = self._measure(cast("PreTrainedModel", self.model))
        except Stopped:
            if not self.state.global_step:
                raise
            note_again()
            self._stop()
            if not self.is_in_train:
                self._save_checkpoint(cast("PreTrainedModel", self.model), trial=None)
            return {}
        to_stored_weights(cast("PreTrainedModel", self.model))  # a checkpoint may follow
        metrics = {f"eval_{name}": value for name, value in measured.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:  # noqa: FBT001, FBT002
        """Save the weights of a checkpoint, with the dropout that the model had before it was trained."""
        with noise_as_configured(cast("PreTrainedModel", self.model)):
            super().save_model(output_dir, _internal_call)

    @property
    def shares_weights(self) -> bool:
        """True if each process may hold only a part of the weights: FSDP, or DeepSpeed."""
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def full_weights(self) -> dict[str, Tensor] | None:
        """All weights, gathered by the first process; all have to call it. None where each process has all of them."""
        return self.accelerator.get_state_dict(self.model_wrapped) if self.shares_weights else None

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means of the metrics over the pairs since the last log, of all processes.

        The processes learn here, all after the same step, whether a scheduler has told one of them to stop.
        """
        if "loss" in logs:
            own = torch.cat([self._sums, self._sums.new_tensor([preempted()])])
            *sums, pairs, stops = self.accelerator.reduce(own, "sum").tolist()
            if stops:
                self._stop()
            self._sums.zero_()
            logs |= {name: round(value / pairs, 4) for name, value in zip(PAIR_METRICS, sums, strict=True)}
        if self._objective.starts_equal and self.state.global_step <= (1 if "loss" in logs else 0):  # not updated yet
            logs = {name: value for name, value in logs.items() if not name.endswith("rewards/accuracies")}
        super().log(logs, start_time)

    def _stop(self) -> None:
        """Save a checkpoint of this step, and make no other step."""
        self.stopped = True
        self.control.should_evaluate, self.control.should_save, self.control.should_training_stop = False, True, True

    @torch.no_grad()
    def _record(self, chosen: SideLogps, rejected: SideLogps, fraction: Tensor, weights: Tensor) -> None:
        metrics = pair_metrics(chosen, rejected, self._objective) | {"tokens/selected_fraction": fraction}
        self._sums += torch.stack([*(metrics[name] for name in PAIR_METRICS), torch.ones_like(weights)]) @ weights


def _keep_sums_exact(state: AcceleratorState) -> None:
    """Under FSDP2 with bf16, leave log-probabilities and sums of gradients in fp32; accelerate would round both."""
    plugin = getattr(state, "fsdp_plugin", None)
    if plugin is not None and isinstance(plugin.mixed_precision_policy, MixedPrecisionPolicy):
        plugin.mixed_precision_policy = replace(
            plugin.mixed_precision_policy, reduce_dtype=torch.float32, output_dtype=None
        )
