"""Train on a sepo selection inside TRL: its trainer with all its features, SePO's loss in the place of its own.

    python examples/trl_sepo.py selection/ MODEL policy/

`sepo train` needs none of this: it is for training code that uses TRL already.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch
from datasets import load_from_disk
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from sepo_train.engine.layout import Tree, padded_layout
from sepo_train.engine.pair_logps import response_logps
from sepo_train.training.losses.reference_free import sepo_loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

GAMMA = 2.0
TARGET_MARGIN = 0.0
SIDES = ("chosen", "rejected")
COLUMNS = ["prompt_ids", *(f"{side}_{what}" for side in SIDES for what in ("ids", "mask"))]


class SelectedTokensTrainer(SFTTrainer):
    """`SFTTrainer` that raises the selected tokens of chosen responses above those of rejected ones."""

    # The loss is a mean over the pairs of a batch: the trainer has to divide it by the batches of a step.
    loss_is_scaled_for_ga = False

    def compute_loss(self, model: Any, inputs: dict[str, Any], **_: Any) -> Tensor:  # noqa: ANN401
        """The mean over the pairs of the batch."""
        chosen, rejected = response_logps(model, inputs["layout"], inputs["ref_logps"])
        return sepo_loss(chosen.means, rejected.means, gamma=GAMMA, target_margin=TARGET_MARGIN).mean()


def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rows of a selection as one padded batch of chosen and rejected sequences with their selected tokens.

    With `shared_layout` in the place of `padded_layout` the prompt of a pair is computed once; `sepo train` does so
    where it finds that the model gives the same numbers.
    """
    trees = [
        Tree(
            row["prompt_ids"],
            tuple(row[f"{side}_ids"] for side in SIDES),
            keep=tuple(row[f"{side}_mask"] for side in SIDES),
        )
        for row in rows
    ]
    no_reference = torch.zeros(len(rows), len(SIDES))
    return {"layout": padded_layout(trees), "ref_logps": no_reference}


def train(selection: str, policy: str, out: str, **options: Any) -> SFTTrainer:  # noqa: ANN401 - those of SFTConfig
    """Train `policy` on the selected tokens of `selection`, and save it in `out`."""
    trainer = SelectedTokensTrainer(
        model=AutoModelForCausalLM.from_pretrained(policy, dtype="float32"),
        args=SFTConfig(
            output_dir=out,
            dataset_kwargs={"skip_prepare_dataset": True},  # the rows hold token ids
            remove_unused_columns=False,
            **options,
        ),
        data_collator=collate,
        train_dataset=load_from_disk(selection).select_columns(COLUMNS),
        processing_class=AutoTokenizer.from_pretrained(policy),
    )
    trainer.train()
    trainer.save_model()
    return trainer


if __name__ == "__main__":
    on_gpu = torch.accelerator.is_available()  # TRL defaults to bf16, and stops on a machine without a GPU
    train(*sys.argv[1:], learning_rate=1e-6, per_device_train_batch_size=4, gradient_accumulation_steps=8, bf16=on_gpu)
