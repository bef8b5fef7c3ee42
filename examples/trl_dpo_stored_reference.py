"""TRL's DPO on the token ids and reference log-probabilities that `sepo score` stored: no pass of a reference model.

    python examples/trl_dpo_stored_reference.py rewards/ MODEL policy/

MODEL is the --ref of `sepo score`; DPO pulls the policy towards it.
"""

from __future__ import annotations

import sys
from typing import Any

import polars as pl
import torch
from datasets import Dataset, concatenate_datasets, load_from_disk
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

from sepo_data import scan

IDS = ["prompt_ids", "chosen_ids", "rejected_ids"]


class StoredReferenceTrainer(DPOTrainer):
    """`DPOTrainer` for rows that are tokenized and have `ref_chosen_logps` and `ref_rejected_logps`.

    TRL 1.16 would tokenize and compute both anew.
    """

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:  # noqa: ANN401
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, *_: Any) -> Dataset:  # noqa: ANN401
        return dataset


def with_reference(rewards: str) -> Dataset:
    """Rows as TRL's collator takes them; of the reference it wants a sum over the whole of each response."""
    sums = [pl.col(f"{side}_ref_logps").list.sum().alias(f"ref_{side}_logps") for side in ("chosen", "rejected")]
    stored = Dataset.from_polars(scan(rewards).select(sums).collect())
    return concatenate_datasets([load_from_disk(rewards).select_columns(IDS), stored], axis=1)


def train(rewards: str, policy: str, out: str, **options: Any) -> DPOTrainer:  # noqa: ANN401 - those of DPOConfig
    """Train `policy` with DPO on all pairs of `rewards`, and save it in `out`."""
    trainer = StoredReferenceTrainer(
        model=AutoModelForCausalLM.from_pretrained(policy, dtype="float32"),
        args=DPOConfig(
            output_dir=out,
            precompute_ref_log_probs=True,
            max_length=None,  # a response that is cut would have another sum
            **options,
        ),
        train_dataset=with_reference(rewards),
        processing_class=AutoTokenizer.from_pretrained(policy),
    )
    trainer.train()
    trainer.save_model()
    return trainer


if __name__ == "__main__":
    on_gpu = torch.accelerator.is_available()  # TRL asks for bf16 otherwise, and stops where there is no GPU
    train(*sys.argv[1:], learning_rate=1e-6, per_device_train_batch_size=4, gradient_accumulation_steps=8, bf16=on_gpu)
