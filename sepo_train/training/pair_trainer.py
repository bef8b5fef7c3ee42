"""`transformers.Trainer` for preference pairs: the layout as its batch, the engine as its forward, one loss a pair."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from sepo_data.errors import SepoError
from sepo_data.storage.atomic import write_text
from sepo_train.engine.logps import default_batch_tokens, token_logps
from sepo_train.training.micro_batches import MicroBatches
from sepo_train.training.objectives import SideLogps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from accelerate.state import AcceleratorState
    from torch import Tensor
    from torch.optim import Optimizer
    from transformers import PreTrainedModel, TrainerControl, TrainerState, TrainingArguments

    from sepo_data.console.progress import Progress
    from sepo_train.engine.choose import Engine
    from sepo_train.engine.layout import Layout, Tree
    from sepo_train.training.objectives import Objective

METRICS = (
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "rewards/accuracies",
    "logps/chosen",
    "logps/rejected",
    "tokens/selected_fraction",
)
"""What is logged beside the loss: means over the pairs of a step."""


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """One pair as a trainer sees it: its tree (chosen, rejected) and, for DPO and its kin, the reference's sums.

    `ref_logps` are (weighted) sums over the wanted tokens of either response; `weight` is 0 for a repeat that does not
    count, see `MicroBatches`.
    """

    pair_id: str
    tree: Tree
    ref_logps: tuple[float, float] = (0.0, 0.0)
    weight: float = 1.0

    @property
    def selected_fraction(self) -> float:
        """The share of its response tokens whose log-probability is wanted."""
        sides = range(len(self.tree.responses))
        return sum(len(self.tree.wanted(side)) for side in sides) / sum(map(len, self.tree.responses))


def side_logps(logps: Tensor, response: Tensor, weights: Tensor, ref_logps: Tensor) -> tuple[SideLogps, SideLogps]:
    """Sums and means over the wanted tokens of each response, chosen and rejected.

    Means are weighted where the selection has soft weights; a response whose weights are all 0 has the mean 0 and no
    gradient.

    Args:
        logps: (n,) log-probabilities of the wanted tokens of all responses, chosen and rejected in turn.
        response: (n,) which response each belongs to.
        weights: (n,) how much each counts.
        ref_logps: (pairs, 2) weighted sums of the reference model.
    """
    none = torch.zeros(2 * len(ref_logps), device=logps.device)
    sums = none.index_add(0, response, logps * weights)
    totals = none.index_add(0, response, weights).clamp_min(torch.finfo(torch.float32).tiny)
    ref_sums = ref_logps.flatten()
    every = (sums, sums / totals, ref_sums, ref_sums / totals)
    return SideLogps(*(values[0::2] for values in every)), SideLogps(*(values[1::2] for values in every))


def response_logps(model: torch.nn.Module, layout: Layout, ref_logps: Tensor) -> tuple[SideLogps, SideLogps]:
    """`side_logps` of `layout` under `model`, with gradients."""
    logps = token_logps(model, layout)
    return side_logps(logps, *(tensor.to(logps.device) for tensor in (layout.response, layout.weights, ref_logps)))


def pair_metrics(chosen: SideLogps, rejected: SideLogps, objective: Objective) -> dict[str, Tensor]:
    """What is logged of each pair, (pairs,): implicit rewards, under TRL's names, and summed log-probabilities."""
    rewards = objective.reward(chosen), objective.reward(rejected)
    return {
        "rewards/chosen": rewards[0],
        "rewards/rejected": rewards[1],
        "rewards/margins": rewards[0] - rewards[1],
        "rewards/accuracies": (rewards[0] > rewards[1]).float(),
        "logps/chosen": chosen.sums,
        "logps/rejected": rejected.sums,
    }


def learning_rate_factor(step: int, steps: int, warmup_share: float) -> float:
    """The share of the peak learning rate in `step` (from 0) of `steps`: a linear rise, then cosine decay.

    Never 0, so that every step counts; a run of one step that does not warm up all the way has the whole rate.
    """
    warmup = int(warmup_share * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2


class PairTrainer(Trainer):
    """Trains on `TrainingPair`s; every pair counts once, whatever the micro-batches and the number of processes.

    What is a batch to transformers is here a whole step: the micro-batches of this process, of which there may be more
    or fewer from step to step.
    """

    # compute_loss divides by the pairs of the whole step.
    loss_is_scaled_for_ga = True

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
        engine: Engine,
        progress: Progress,
        metrics: Path,
        held_out: Callable[[PreTrainedModel], dict[str, float]] | None = None,
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
            # A run that goes on after its last step would make another one.
            steps=lambda: self.state.max_steps,
        )
        # The trainer writes it into the configuration, from where it would be saved and slow generation down for ever.
        arguments.use_cache = getattr(model.config, "use_cache", True)
        self._rows = _Rows(pairs)
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=self._rows,
            eval_dataset=self._rows,  # never read: transformers asks only whether there is one
            data_collator=cast("Any", _collate(engine)),
        )
        _keep_sums_exact(self.accelerator.state)
        self._warmup_share = warmup_share
        self._objective = objective
        self._held_out = held_out
        self._pairs_of_step = ""
        self._sums = torch.zeros(len(METRICS) + 1, device=arguments.device)
        # Standard output belongs to the command's answer.
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        self.add_callback(_Report(progress, metrics, looks=held_out is not None))

    def get_train_dataloader(self) -> DataLoader[list[TrainingPair]]:
        """This process's steps; accelerate, which would deal them out once more, is left out."""
        return DataLoader(self._rows, batch_sampler=self._steps, collate_fn=self.data_collator)

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LambdaLR:
        """`learning_rate_factor` of each step; a schedule of transformers would waste the first, or only, one."""
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
        """Forward and backward of each micro-batch; processes exchange gradients in the last one alone."""
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
        """The norm of the step's gradient; raise where the optimizer would leave weights that nothing recovers from."""
        norm = super()._get_grad_norm(model, grad_norm)
        if norm is not None and not math.isfinite(float(norm)):
            raise SepoError(
                f"the gradient is not finite in step {self.state.global_step + 1}, of pairs {self._pairs_of_step}",
                "lower --lr, or look at the pairs with `sepo show`",
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
                "lower --lr, or look at the pairs with `sepo show`",
            )
        self._record(chosen, rejected, inputs["selected_fraction"].to(losses.device), weights)
        pairs = num_items_in_batch if num_items_in_batch is not None else weights.sum()
        # Data parallelism averages gradients over the processes; the sum over all pairs is wanted.
        return (losses * weights).sum() * self.accelerator.num_processes / pairs

    def evaluate(self, *_args: Any, **_options: Any) -> dict[str, float]:  # noqa: ANN401 - as in transformers
        """Log what `held_out` finds, under keys that begin with `eval_`."""
        if self._held_out is None:
            return {}
        metrics = {f"eval_{name}": value for name, value in self._held_out(cast("PreTrainedModel", self.model)).items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    @property
    def shares_weights(self) -> bool:
        """Whether a process may have a part of the weights alone: FSDP, or DeepSpeed."""
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def whole_weights(self) -> dict[str, Tensor] | None:
        """The weights that the processes share, gathered by the first; all have to ask. None where each has all."""
        return self.accelerator.get_state_dict(self.model_wrapped) if self.shares_weights else None

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means of the metrics over the pairs since the last log, of all processes."""
        if "loss" in logs:
            *sums, pairs = self.accelerator.reduce(self._sums, "sum").tolist()
            self._sums.zero_()
            logs |= {name: round(value / pairs, 4) for name, value in zip(METRICS, sums, strict=True)}
        super().log(logs, start_time)

    @torch.no_grad()
    def _record(self, chosen: SideLogps, rejected: SideLogps, fraction: Tensor, weights: Tensor) -> None:
        metrics = pair_metrics(chosen, rejected, self._objective) | {"tokens/selected_fraction": fraction}
        self._sums += torch.stack([*(metrics[name] for name in METRICS), torch.ones_like(weights)]) @ weights


def _keep_sums_exact(state: AcceleratorState) -> None:
    """Under FSDP2 with bf16, leave log-probabilities and sums of gradients in fp32; accelerate would round both."""
    plugin = getattr(state, "fsdp_plugin", None)
    if plugin is not None and isinstance(plugin.mixed_precision_policy, MixedPrecisionPolicy):
        plugin.mixed_precision_policy = replace(
            plugin.mixed_precision_policy, reduce_dtype=torch.float32, output_dtype=None
        )


class _Rows(Dataset["list[TrainingPair]"]):
    """The pairs by number, or by a list of numbers; `~number` is the same pair with no weight."""

    def __init__(self, pairs: Sequence[TrainingPair]) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, numbers: list[int]) -> list[TrainingPair]:
        return [self._pairs[number] if number >= 0 else replace(self._pairs[~number], weight=0.0) for number in numbers]


def _collate(engine: Engine) -> Callable[[list[list[TrainingPair]]], list[dict[str, Any]]]:
    def micro_batch(pairs: list[TrainingPair]) -> dict[str, Any]:
        return {
            "layout": engine.layout([pair.tree for pair in pairs]),
            "ref_logps": torch.tensor([pair.ref_logps for pair in pairs]),
            "weights": torch.tensor([pair.weight for pair in pairs]),
            "selected_fraction": torch.tensor([pair.selected_fraction for pair in pairs]),
            "pair_ids": [pair.pair_id for pair in pairs],
        }

    return lambda step: [micro_batch(pairs) for pairs in step]


class _Report(TrainerCallback):
    """Tells the command how far training is, and keeps `metrics.jsonl` up to date."""

    def __init__(self, progress: Progress, metrics: Path, *, looks: bool) -> None:
        self._progress = progress
        self._metrics = metrics
        self._looks = looks

    def on_train_begin(
        self,
        args: TrainingArguments,  # noqa: ARG002 - as in transformers
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002 - as in transformers
        **_kwargs: Any,  # noqa: ANN401 - as in transformers
    ) -> None:
        # A run that goes on from a checkpoint drops what was logged after it.
        if state.is_world_process_zero:
            write_text(self._metrics, "".join(map(_line, history(state))))

    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002 - as in transformers
        state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,  # noqa: ANN401 - as in transformers
    ) -> None:
        # The last look belongs into the run: after it, loggers are closed.
        control.should_evaluate |= self._looks and state.global_step >= state.max_steps

    def on_log(
        self,
        args: TrainingArguments,  # noqa: ARG002 - as in transformers
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002 - as in transformers
        **_kwargs: Any,  # noqa: ANN401 - as in transformers
    ) -> None:
        entry = state.log_history[-1]
        if not _is_metric(entry):
            return
        if state.is_world_process_zero:
            with self._metrics.open("a", encoding="utf-8") as file:
                file.write(_line(entry))
        self._progress.metrics(state.global_step, state.max_steps, entry)


def history(state: TrainerState) -> list[dict[str, float]]:
    """What was logged of steps and evaluations, without the trainer's own summary."""
    return list(filter(_is_metric, state.log_history))


def _is_metric(entry: Mapping[str, float]) -> bool:
    return "loss" in entry or any(name.startswith("eval_") for name in entry)


def _line(entry: Mapping[str, float]) -> str:
    return json.dumps({name: value for name, value in entry.items() if math.isfinite(value)}) + "\n"
