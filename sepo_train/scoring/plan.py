"""What scoring decides before a model is loaded: the pairs, the models' identities, the shards."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.schemas.manifest import Manifest
from sepo_data.schemas.stages import Stage
from sepo_data.stages.seen_pairs import OracleRecord, read_oracle_record
from sepo_data.stages.versions import versions
from sepo_train.engine.logps import default_batch_tokens
from sepo_train.models.dataset import Prepared, prepare
from sepo_train.models.load import (
    check_same_vocabulary,
    default_device,
    default_dtype,
    load_tokenizer,
    model_record,
    tokenizer_record,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from sepo_data.console.progress import Progress
    from sepo_data.preferences.holdout import Holdout
    from sepo_data.preferences.reading import Reading
    from sepo_data.schemas.manifest import ModelRecord
    from sepo_data.tokenization.tokenize import TokenizedPair, Truncate

SHARD_SECONDS = 300
SAMPLE = 1000


@dataclass(frozen=True, slots=True)
class ScoringPlan:
    """A scoring run that has not begun.

    Attributes:
        manifest: its plan.
        prepared: the dataset and the tokenizer.
        sample: the first usable pairs.
        seen: ids of the pairs the oracle was trained on; None where that is unknown.
        dtype: of both models.
        batch_tokens: tokens in one forward pass.
        shard_rows: input rows a shard.
    """

    manifest: Manifest
    prepared: Prepared
    sample: list[TokenizedPair]
    seen: frozenset[str] | None
    dtype: str
    batch_tokens: int
    shard_rows: int

    @property
    def shards(self) -> int:
        return -(-self.prepared.preferences.rows // self.shard_rows)

    def rows(self, shard: int) -> tuple[int, int]:
        """Where the input rows of `shard` start and stop."""
        return shard * self.shard_rows, (shard + 1) * self.shard_rows


def plan_scoring(
    reading: Reading,
    *,
    oracle: str,
    ref: str,
    beta: float,
    max_length: int | None,
    truncate: Truncate | None,
    dtype: str | None,
    chat_template: Path | None,
    batch_tokens: int | None,
    shard_rows: int | None,
    progress: Progress,
) -> ScoringPlan:
    """Open the dataset and find out what everything is; arguments and errors are those of `score`."""
    record = read_oracle_record(oracle)
    prepared = prepare(
        reading,
        ref,
        other=oracle,
        max_length=max_length,
        truncate=truncate,
        chat_template=chat_template,
        progress=progress,
    )
    check_same_vocabulary(load_tokenizer(oracle), prepared.tokenizer, roles=("oracle", "reference"))
    models_used = {"oracle": model_record(oracle), "ref": model_record(ref)}
    tokenizer_used = tokenizer_record(prepared.tokenizer)
    if record is not None:
        record.check(ref=models_used["ref"], tokenizer=tokenizer_used)
        if (trained := record.manifest.options["beta"]) != beta:
            progress.note(f"note: the oracle was trained with beta {trained}, the rewards have {beta}")
    dtype = dtype or default_dtype()
    batch_tokens = batch_tokens or default_batch_tokens()
    sample = prepared.sample(SAMPLE)
    if (holdout := prepared.preferences.holdout) is not None:
        _refuse_seen(holdout, record, progress)
    shard_rows = shard_rows or default_shard_rows(sample, models_used.values())
    manifest = Manifest(
        stage=Stage.REWARDS,
        input=prepared.input,
        models=models_used,
        tokenizer=tokenizer_used,
        options={
            "beta": beta,
            "dtype": dtype,
            "device": default_device().type,
            "max_length": prepared.max_length,
            "truncate": truncate,
            **reading.plan(),
            "keep": list(reading.keep),
            "batch_tokens": batch_tokens,
            "shard_rows": shard_rows,
        },
        parent=record.manifest.fingerprint if record else None,
        versions=versions(),
    )
    return ScoringPlan(manifest, prepared, sample, record.pair_ids if record else None, dtype, batch_tokens, shard_rows)


def _refuse_seen(holdout: Holdout, record: OracleRecord | None, progress: Progress) -> None:
    """Raise where the oracle was trained on a prompt that is held out: its rewards there would flatter it."""
    if record is None:
        progress.note("note: the oracle has no record of its training, so it may have seen pairs that are held out")
    elif leaked := sum(map(holdout.holds, record.prompt_ids)):
        raise SepoError(
            f"the oracle was trained on {leaked:,} of the prompts that --holdout keeps out",
            "train it on the same rows with the same --holdout (and --split, --limit, --shuffle, --seed, --dedupe)",
        )


def default_shard_rows(sample: Sequence[TokenizedPair], models: Iterable[ModelRecord]) -> int:
    """Rows that take a few minutes to score: a power of two from 64 to 16,384.

    From the 2 x parameters x tokens floating-point operations of a pass and the rate at which such a machine does them.
    A rough guess is enough, but it has to be the same one when the run goes on.
    """
    rate = 1e11 if default_device().type == "cpu" else 1e14
    tokens = sum(len(item.prompt_ids) + len(item.chosen_ids) + len(item.rejected_ids) for item in sample) / len(sample)
    rows = SHARD_SECONDS * rate / (2 * tokens * sum(model.parameters for model in models))
    return int(2 ** min(14, max(6, math.floor(math.log2(rows)))))
