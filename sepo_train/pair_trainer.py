"""`transformers.Trainer` for preference pairs: the layout as its batch, the engine as its forward, one loss a pair."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from schemas.errors import SepoError
from sepo_train.logps import token_logps
from sepo_train.micro_batches import MicroBatches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor
    from torch.optim import Optimizer
    from transformers import PreTrainedModel, TrainerControl, TrainerState, TrainingArguments

    from sepo_data.progress import Progress
    from sepo_train.engine import Engine
    from sepo_train.layout import Layout, Tree

METRICS = (
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "rewards/accuracies",
    "logps/chosen",
    "logps/rejected",
)
"""What is logged beside the loss: means over the pairs of a step."""


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """One pair as a trainer sees it: its tree (chosen, rejected) and, for DPO, the reference's sums.

    `weight` is 0 for a repeat that does not count, see `MicroBatches`.
    """

    pair_id: str
    tree: Tree
    ref_logps: tuple[float, float] = (0.0, 0.0)
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Responses:
    """Log-probabilities of a batch's responses over their wanted tokens; every tensor is (pairs,), in nats."""

    chosen_sums: Tensor
    rejected_sums: Tensor
    chosen_means: Tensor
    rejected_means: Tensor
    ref_chosen_sums: Tensor
    ref_rejected_sums: Tensor


@dataclass(frozen=True, slots=True)
class PairLoss:
    """What is minimised, and the implicit rewards whose margin it pushes apart; functions of `Responses`."""

    loss: Callable[[Responses], Tensor]
    rewards: Callable[[Responses], tuple[Tensor, Tensor]]


def response_logps(model: torch.nn.Module, layout: Layout, ref_logps: Tensor) -> Responses:
    """Sums and means of log-probabilities over the wanted tokens of each response of `layout`.

    The means are weighted where the selection has soft weights; a response whose weights are all 0 has the mean 0 and
    no gradient.
    """
    logps = token_logps(model, layout)
    response = layout.response.to(logps.device)
    weights = layout.weights.to(logps.device)
    none = torch.zeros(layout.responses, device=logps.device)
    sums = none.index_add(0, response, logps)
    totals = none.index_add(0, response, weights).clamp_min(torch.finfo(torch.float32).tiny)
    means = none.index_add(0, response, logps * weights) / totals
    ref = ref_logps.to(logps.device)
    return Responses(sums[0::2], sums[1::2], means[0::2], means[1::2], ref[:, 0], ref[:, 1])


def learning_rate_factor(step: int, steps: int, warmup_share: float) -> float:
    """The share of the peak learning rate in `step` (from 0) of `steps`: a linear rise, then cosine decay.

    Never 0, so that every step counts; a run of one step that does not warm up all the way has the whole rate.
    """
    warmup = int(warmup_share * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2


class PairTrainer(Trainer):
    """Trains on `TrainingPair`s; every pair counts once, whatever the accumulation and the number of processes."""

    # compute_loss divides by the pairs of the whole step, so the trainer must not divide by the accumulation again.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: PreTrainedModel,
        arguments: TrainingArguments,
        pairs: Sequence[TrainingPair],
        *,
        batch_size: int,
        warmup_share: float,
        pair_loss: PairLoss,
        engine: Engine,
        progress: Progress,
    ) -> None:
        self._micro_batches = MicroBatches(
            len(pairs),
            batch_size=batch_size,
            micro_batch_size=arguments.per_device_train_batch_size,
            seed=arguments.seed,
            epoch=lambda: int(self.state.epoch or 0),
            rank=arguments.process_index,
            processes=arguments.world_size,
        )
        arguments.gradient_accumulation_steps = self._micro_batches.passes(batch_size)
        # The trainer writes it into the configuration, from where it would be saved and slow generation down for ever.
        arguments.use_cache = getattr(model.config, "use_cache", True)
        self._rows = _Rows(pairs)
        super().__init__(model=model, args=arguments, train_dataset=self._rows, data_collator=_collate(engine))
        self._warmup_share = warmup_share
        self._pair_loss = pair_loss
        self._sums = torch.zeros(len(METRICS) + 1, device=arguments.device)
        # Standard output belongs to the command's answer.
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        self.add_callback(_Report(progress))

    def get_train_dataloader(self) -> DataLoader[TrainingPair]:
        """This process's micro-batches; accelerate, which would deal them out once more, is left out."""
        return DataLoader(self._rows, batch_sampler=self._micro_batches, collate_fn=self.data_collator)

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LambdaLR:
        """`learning_rate_factor` of each step; a schedule of transformers would waste the first, or only, one."""
        if self.lr_scheduler is None:
            self.lr_scheduler = LambdaLR(
                cast("Optimizer", optimizer or self.optimizer),
                lambda step: learning_rate_factor(step, num_training_steps, self._warmup_share),
            )
        return self.lr_scheduler

    def get_batch_samples(
        self,
        epoch_iterator: Iterator[Any],
        num_batches: int,
        device: torch.device,
    ) -> tuple[list[dict[str, Any]], Tensor]:
        """The micro-batches of one step and the number of pairs in it, over all processes."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        pairs = sum(batch["weights"].sum() for batch in batches)
        return batches, self.accelerator.gather(torch.as_tensor(pairs, device=device)).sum()

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,  # noqa: FBT001, FBT002 - as in transformers
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """The batch's share of the mean loss over the pairs of the step."""
        if return_outputs:
            raise NotImplementedError("a pair trainer has no outputs besides its loss")
        responses = response_logps(model, inputs["layout"], inputs["ref_logps"])
        losses = self._pair_loss.loss(responses)
        weights = inputs["weights"].to(losses.device)
        if not torch.isfinite(losses).all():
            finite = torch.isfinite(losses).tolist()
            named = ", ".join(pair_id for pair_id, good in zip(inputs["pair_ids"], finite, strict=True) if not good)
            raise SepoError(
                f"the loss is not finite for pairs {named}", "lower --lr, or look at the pairs with `sepo show`"
            )
        self._record(responses, weights)
        pairs = num_items_in_batch if num_items_in_batch is not None else weights.sum()
        # Data parallelism averages gradients over the processes; the sum over all pairs is wanted.
        return (losses * weights).sum() * self.accelerator.num_processes / pairs

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means of the metrics over the pairs since the last log, of all processes."""
        if "loss" in logs:
            *sums, pairs = self.accelerator.reduce(self._sums, "sum").tolist()
            self._sums.zero_()
            logs |= {name: round(value / pairs, 4) for name, value in zip(METRICS, sums, strict=True)}
        super().log(logs, start_time)

    @torch.no_grad()
    def _record(self, responses: Responses, weights: Tensor) -> None:
        chosen, rejected = self._pair_loss.rewards(responses)
        values = torch.stack(
            [
                chosen,
                rejected,
                chosen - rejected,
                (chosen > rejected).float(),
                responses.chosen_sums,
                responses.rejected_sums,
                torch.ones_like(weights),
            ]
        )
        self._sums += values @ weights


class _Rows(Dataset[TrainingPair]):
    """The pairs by number; `~number` is the same pair with no weight."""

    def __init__(self, pairs: Sequence[TrainingPair]) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> TrainingPair:
        return self._pairs[index] if index >= 0 else replace(self._pairs[~index], weight=0.0)


def _collate(engine: Engine) -> Callable[[list[TrainingPair]], dict[str, Any]]:
    def collate(pairs: list[TrainingPair]) -> dict[str, Any]:
        return {
            "layout": engine.layout([pair.tree for pair in pairs]),
            "ref_logps": torch.tensor([pair.ref_logps for pair in pairs]),
            "weights": torch.tensor([pair.weight for pair in pairs]),
            "pair_ids": [pair.pair_id for pair in pairs],
        }

    return collate


class _Report(TrainerCallback):
    """Tells the command how far training is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_log(
        self,
        args: TrainingArguments,  # noqa: ARG002 - as in transformers
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002 - as in transformers
        **kwargs: Any,  # noqa: ANN401 - as in transformers
    ) -> None:
        logs = kwargs.get("logs")
        if logs and "loss" in logs:
            self._progress.step(
                state.global_step,
                state.max_steps,
                f"loss {logs['loss']:.4f}  margin {logs['rewards/margins']:.3f}  "
                f"accuracy {logs['rewards/accuracies']:.0%}",
            )
