"""The options of `score`: those that decide the rewards, and those that decide how they are computed. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from sepo_data.preferences.skipped import OnBadRow, Truncate
    from sepo_train.models.device import Dtype

ModelsInMemory = Literal[1, 2]
"""Number of models (oracle, reference) that memory holds at a time."""

Backend = Literal["local", "ray"]
"""Place of scoring: this process, or workers of a Ray cluster."""


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """Settings of scoring. All but `on_bad_row`, `models_in_memory` and `check_precision` are part of the plan.

    Attributes:
        beta: the oracle's DPO temperature; scales the rewards.
        max_length: tokens of prompt and one response; by default 2048, or the context of the models if it is shorter.
        truncate: the part that is cut from longer pairs, which are otherwise skipped.
        dtype: of both models; by default fp32 on a CPU and bf16 on an accelerator.
        chat_template: a Jinja file that replaces the tokenizer's own template.
        batch_tokens: tokens in one forward pass; by default 512 on a CPU and 16,384 on an accelerator.
        shard_rows: input rows in a shard; by default as many as take a few minutes, see `default_shard_rows`.
        on_bad_row: skip unusable rows, or fail at the first.
        models_in_memory: 1 loads the oracle and the reference model in turn, 2 keeps both.
        check_precision: pairs that are scored again in fp32, one response at a time, to record the differences.
        trust_remote_code: run the code that comes with a model or its tokenizer.
    """

    beta: float = 0.1
    max_length: int | None = None
    truncate: Truncate | None = None
    dtype: Dtype | None = None
    chat_template: Path | None = None
    batch_tokens: int | None = None
    shard_rows: int | None = None
    on_bad_row: OnBadRow = "skip"
    models_in_memory: ModelsInMemory = 1
    check_precision: int = 0
    trust_remote_code: bool = False


DEFAULTS = ScoringOptions()
