"""The options of `score`: those that decide the rewards, and those that decide how they are computed. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sepo_data.checked import above, at_least, check_fields
from sepo_data.preferences.skipped import OnBadRow, TruncateOrNone
from sepo_train.models.device import Dtype

if TYPE_CHECKING:
    from pathlib import Path

ModelsInMemory = Literal[1, 2]
"""Number of models (oracle, reference) that memory holds at a time."""

Backend = Literal["local", "ray"]
"""Place of scoring: this process, or workers of a Ray cluster."""


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """Settings of scoring. All but those that end with the words "not in the plan" are part of the plan.

    What `sepo oracle` decided is the default of `beta`, `max_length`, `truncate`, `chat_template` and `template_date`.

    Attributes:
        beta: the oracle's DPO temperature; scales the rewards. By default the oracle's, or 0.1 where it has no record.
        max_length: tokens of prompt and one response; by default the oracle's, or 2048 and no more than the context of
            the models.
        truncate: the part that is cut from longer pairs, which are otherwise skipped; "none" skips them whatever the
            oracle's training did.
        dtype: of both models; by default fp32 on a CPU and bf16 on an accelerator.
        chat_template: a Jinja file that replaces the oracle's template, or the tokenizer's own.
        template_date: day, as YYYY-MM-DD, that the chat template takes for today; by default the oracle's.
        batch_tokens: tokens in one forward pass; by default 512 on a CPU and 16,384 on an accelerator.
        shard_rows: input rows in a shard; by default as many as take a few minutes, see `default_shard_rows`.
        on_bad_row: skip unusable rows, or fail at the first; not in the plan.
        max_skipped: share (`"1%"`) or number of the rows that may be skipped because something is wrong with them;
            where reading finds more, nothing is scored. None allows any number; not in the plan.
        models_in_memory: 1 loads the oracle and the reference model in turn, 2 keeps both; not in the plan.
        check_precision: pairs that are scored again in fp32, one response at a time, to record the differences; not in
            the plan.
        trust_remote_code: run the code that comes with a model or its tokenizer.
    """

    beta: float | None = None
    max_length: int | None = None
    truncate: TruncateOrNone | None = None
    dtype: Dtype | None = None
    chat_template: str | Path | None = None
    template_date: str | None = None
    batch_tokens: int | None = None
    shard_rows: int | None = None
    on_bad_row: OnBadRow = "skip"
    max_skipped: str | float | None = None
    models_in_memory: ModelsInMemory = 1
    check_precision: int = 0
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        check_fields(
            self,
            beta=above(0),
            max_length=at_least(2),
            truncate=TruncateOrNone,
            dtype=Dtype,
            batch_tokens=at_least(1),
            shard_rows=at_least(1),
            on_bad_row=OnBadRow,
            models_in_memory=ModelsInMemory,
            check_precision=at_least(0),
        )


DEFAULTS = ScoringOptions()
