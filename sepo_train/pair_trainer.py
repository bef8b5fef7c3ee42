"""`transformers.Trainer` for preference pairs: the layout as its batch, the engine as its forward, one loss a pair."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from schemas.errors import SepoError
from sepo_train.logps import token_logps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel, TrainerControl, TrainerState, TrainingArguments

    from sepo_data.progress import Progress
    from sepo_train.layout import Layout, Tree
    from sepo_train.logps import Engine


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """One pair as a trainer sees it: its tree (chosen, rejected) and, for DPO, the reference's sums."""

    pair_id: str
    tree: Tree
    ref_logps: tuple[float, float] = (0.0, 0.0)


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
    """Sums and means of log-probabilities over the wanted tokens of each response of `layout`."""
    logps = token_logps(model, layout)
    response = layout.response.to(logps.device)
    sums = torch.zeros(layout.responses, device=logps.device).index_add(0, response, logps)
    counts = torch.bincount(response, minlength=layout.responses)
    means = sums / counts
    ref = ref_logps.to(logps.device)
    return Responses(sums[0::2], sums[1::2], means[0::2], means[1::2], ref[:, 0], ref[:, 1])


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
        pair_loss: PairLoss,
        engine: Engine,
        progress: Progress,
    ) -> None:
        super().__init__(model=model, args=arguments, train_dataset=_Rows(pairs), data_collator=_collate(engine))
        self._pair_loss = pair_loss
        self._metrics: dict[str, list[float]] = defaultdict(list)
        # Standard output belongs to the command's answer.
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        self.add_callback(_Report(progress))

    def get_batch_samples(
        self,
        epoch_iterator: Iterator[Any],
        num_batches: int,
        device: torch.device,
    ) -> tuple[list[dict[str, Any]], Tensor]:
        """The micro-batches of one step and the number of pairs in it, over all processes."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        pairs = torch.tensor(sum(len(batch["pair_ids"]) for batch in batches), device=device)
        return batches, self.accelerator.gather(pairs).sum()

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
        if not torch.isfinite(losses).all():
            raise SepoError(
                f"the loss is not finite for pairs {', '.join(inputs['pair_ids'])}",
                "lower --lr, or look at the pairs with `sepo show`",
            )
        self._record(responses)
        pairs = num_items_in_batch if num_items_in_batch is not None else len(losses)
        # Data parallelism averages gradients over the processes; the sum over all pairs is wanted.
        return losses.sum() * self.accelerator.num_processes / pairs

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means of the metrics since the last log."""
        means = {name: round(sum(values) / len(values), 4) for name, values in self._metrics.items()}
        self._metrics.clear()
        super().log({**logs, **means}, start_time)

    @torch.no_grad()
    def _record(self, responses: Responses) -> None:
        chosen, rejected = self._pair_loss.rewards(responses)
        for name, values in {
            "rewards/chosen": chosen,
            "rewards/rejected": rejected,
            "rewards/margins": chosen - rejected,
            "rewards/accuracies": (chosen > rejected).float(),
            "logps/chosen": responses.chosen_sums,
            "logps/rejected": responses.rejected_sums,
        }.items():
            self._metrics[name] += values.tolist()


class _Rows(torch.utils.data.Dataset[TrainingPair]):
    def __init__(self, pairs: Sequence[TrainingPair]) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> TrainingPair:
        return self._pairs[index]


def _collate(engine: Engine) -> Callable[[list[TrainingPair]], dict[str, Any]]:
    def collate(pairs: list[TrainingPair]) -> dict[str, Any]:
        return {
            "layout": engine.layout([pair.tree for pair in pairs]),
            "ref_logps": torch.tensor([pair.ref_logps for pair in pairs]),
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
