"""TRL's trainers on token ids: ways of `trainers.py`."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from process import status
from training_task import BETA, GAMMA, LEARNING_RATE, Measured
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import DPOConfig, DPOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer

from sepo_train.models.load import load_model
from sepo_train.models.tokenizers import load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from training_task import Task
    from transformers import Trainer


def by_trl_dpo(task: Task) -> Measured:
    """TRL's `DPOTrainer`, which trains on every token of the responses."""

    class OnIds(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: object) -> Any:  # noqa: ANN401 - theirs
            return dataset  # it has token ids

    columns = {
        "prompt_ids": [list(pair.prompt_ids) for pair in task.pairs],
        "chosen_ids": [list(pair.responses[0]) for pair in task.pairs],
        "rejected_ids": [list(pair.responses[1]) for pair in task.pairs],
    }
    own = {"beta": BETA, "max_length": None, "precompute_ref_log_probs": task.way == "trl dpo precomputed"}

    def rows_of(batch: Mapping[str, Any]) -> Iterator[tuple[list[int], int]]:
        for ids, fed, mask in zip(batch["input_ids"], batch["attention_mask"], batch["completion_mask"], strict=True):
            yield ids[fed.bool()].tolist(), int(mask.sum())

    return _by_trl(task, OnIds, partial(DPOConfig, **own), columns, rows_of)


def by_trl_simpo(task: Task) -> Measured:
    """TRL's `CPOTrainer` with SimPO's loss, which is sepo's with every token selected."""

    class OnIds(CPOTrainer):
        def tokenize_row(self, feature: Any, model: Any = None) -> dict[str, Any]:  # noqa: ANN401, ARG002 - theirs
            return {}  # the row has token ids

    columns: dict[str, list[list[int]]] = {"prompt_input_ids": [list(pair.prompt_ids) for pair in task.pairs]}
    for side, name in enumerate(("chosen", "rejected")):
        whole = [[*pair.prompt_ids, *pair.responses[side]] for pair in task.pairs]
        labels = [[-100] * len(pair.prompt_ids) + list(pair.responses[side]) for pair in task.pairs]
        masks = [[1] * len(ids) for ids in whole]
        columns |= {f"{name}_input_ids": whole, f"{name}_labels": labels, f"{name}_attention_mask": masks}
    own = {"loss_type": "simpo", "beta": GAMMA, "simpo_gamma": 0.0, "cpo_alpha": 0.0, "max_length": 1 << 20}

    def rows_of(batch: Mapping[str, Any]) -> Iterator[tuple[list[int], int]]:
        for name in ("chosen", "rejected"):
            each = (batch[f"{name}_{what}"] for what in ("input_ids", "attention_mask", "labels"))
            for ids, fed, labels in zip(*each, strict=True):
                yield ids[fed.bool()].tolist(), int((labels != -100).sum())  # noqa: PLR2004 - what is not trained on

    return _by_trl(task, OnIds, partial(CPOConfig, remove_unused_columns=False, **own), columns, rows_of)


def _by_trl(
    task: Task,
    trainer_class: type[Trainer],
    config: Callable[..., Any],
    columns: dict[str, list[list[int]]],
    rows_of: Callable[[Mapping[str, Any]], Iterable[tuple[list[int], int]]],
) -> Measured:
    """Train on `columns`; `rows_of` tells of a batch the ids of each row and how many of them are the response's."""
    ended: list[float] = []

    class Clock(TrainerCallback):
        def on_log(self, *_: object, logs: Mapping[str, float], **__: object) -> None:
            if "loss" in logs:
                ended.append(time.perf_counter())

    model, tokenizer = load_model(task.model, dtype="float32"), load_tokenizer(task.model)
    dataset = Dataset.from_dict(columns)  # in memory: what TRL computes for it is cached in a temporary folder
    with tempfile.TemporaryDirectory() as folder:
        settings = config(
            output_dir=folder,
            per_device_train_batch_size=task.rows // 2,
            gradient_accumulation_steps=2 * task.batch_size // task.rows,
            num_train_epochs=1,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="cosine",
            train_sampling_strategy="sequential",
            gradient_checkpointing=task.checkpointing,
            bf16=False,
            use_cpu=True,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        loaded, begun = status("VmRSS"), time.perf_counter()
        trainer: Any = trainer_class(model, args=settings, train_dataset=dataset, processing_class=tokenizer)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Clock())
        trainer.train()
    found = [row for batch in trainer.get_train_dataloader() for row in rows_of(batch)]
    size = task.rows // 2
    batches = [task.pairs[start : start + size] for start in range(0, len(task.pairs), size)]
    expected = [
        ([*pair.prompt_ids, *pair.responses[side]], len(pair.responses[side]))
        for batch in batches
        for side in (0, 1)
        for pair in batch
    ]
    if found != expected:
        raise RuntimeError(f"{trainer_class.__mro__[1].__name__} trained on other tokens, or in another order")
    return Measured(loaded, begun, ended, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
