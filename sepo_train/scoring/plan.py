"""Plan a scoring run before a model is loaded: the pairs, the identities of the models, the shards."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from sepo_data.errors import SepoError
from sepo_data.schemas.manifest import Manifest
from sepo_data.schemas.stages import Stage
from sepo_data.shapes.pairs import Pair
from sepo_data.stages.rewards import EQUAL_MODELS, rewards_schema
from sepo_data.stages.seen_pairs import OracleRecord, read_oracle_record
from sepo_data.stages.versions import installed_versions
from sepo_train.engine.logps import default_batch_tokens
from sepo_train.models.device import default_device, default_dtype
from sepo_train.models.load import model_record
from sepo_train.models.remote_code import trust_record
from sepo_train.models.tokenized_input import open_tokenized
from sepo_train.models.tokenizers import check_same_vocabulary, tokenizer_record
from sepo_train.models.training_record import record_folder
from sepo_train.scoring.inherited import DIFFERING, compare_reading, compare_template, inherit
from sepo_train.scoring.model_roles import check_roles

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import JsonValue

    from sepo_data.console.progress import Progress
    from sepo_data.preferences.holdout import Holdout
    from sepo_data.preferences.reading import Reading
    from sepo_data.schemas.manifest import ModelRecord
    from sepo_data.tokenization.tokenize import TokenizedPair
    from sepo_data.tokenization.tokenized_dataset import TokenizedDataset
    from sepo_train.models.device import Dtype
    from sepo_train.scoring.options import ScoringOptions

SHARD_SECONDS = 300
"""Time that a shard of `default_shard_rows` takes, and the most work that a kill can lose."""

SAMPLE_PAIRS = 1000
"""Pairs from which the mean length is estimated and on which layouts are tested."""


@dataclass(frozen=True, slots=True)
class ScoringPlan:
    """A scoring run that has not begun.

    Attributes:
        manifest: as it is written when the run begins.
        dataset: the preference pairs with their tokenizer.
        sample: the first usable pairs.
        seen: ids of the pairs the oracle was trained on; None if unknown.
        beta: scales the rewards.
        known: the entries of the manifest's results that are known by now.
        dtype: of both models.
        batch_tokens: tokens in one forward pass.
        shard_rows: input rows in a shard.
    """

    manifest: Manifest
    dataset: TokenizedDataset
    sample: list[TokenizedPair]
    seen: frozenset[str] | None
    beta: float
    known: dict[str, JsonValue]
    dtype: Dtype
    batch_tokens: int
    shard_rows: int

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.dataset.preferences.rows // self.shard_rows)

    def rows(self, shard: int) -> tuple[int, int]:
        """The start and stop of the input rows of `shard`."""
        return shard * self.shard_rows, (shard + 1) * self.shard_rows

    def check_shard(self, index: int | None) -> None:
        """Raise if there is no shard `index`; None stands for all shards."""
        if index is not None and not 0 <= index < self.shards:
            raise SepoError(
                f"there is no shard {index}", f"the {self.shards} shards have the numbers 0 to {self.shards - 1}"
            )

    def schema(self, reading: Reading) -> pa.Schema:
        """The columns of the rewards dataset: sepo's own, the kept side columns, and those that reading adds."""
        preferences = self.dataset.preferences
        schema = rewards_schema(
            shape=preferences.shape,
            pairs=(item for item in preferences.in_any_order() if isinstance(item, Pair)),
            keep=reading.keep_columns,
        )
        for name, meaning in preferences.added.items():
            schema = schema.append(pa.field(name, pa.string(), metadata={"doc": meaning}))
        return schema


def plan_scoring(
    reading: Reading,
    *,
    oracle: str,
    ref: str,
    options: ScoringOptions,
    begun_on: str | None = None,
    progress: Progress,
) -> ScoringPlan:
    """Open the dataset, check that dataset, models and oracle fit together, and fill in what `options` leave open.

    Arguments and errors are those of `score`; `begun_on` is the template date of the run that goes on.
    """
    record = read_oracle_record(record_folder(oracle))
    inherited = inherit(options, oracle, progress)
    dataset = open_tokenized(
        reading,
        ref,
        other=oracle,
        max_length=inherited.max_length,
        truncate=inherited.truncate,
        chat_template=options.chat_template,
        template_date=inherited.template_date or begun_on,
        rendered_by=inherited.tokenizer if inherited.has_template and options.chat_template is None else None,
        trust_remote_code=options.trust_remote_code,
        progress=progress,
    )
    check_same_vocabulary(inherited.tokenizer, dataset.tokenizer, roles=("oracle", "reference"))
    models_used = {
        role: model_record(name, trust_remote_code=options.trust_remote_code)
        for role, name in (("oracle", oracle), ("ref", ref))
    }
    tokenizer_used = tokenizer_record(dataset.tokenizer)
    template_given = options.chat_template is not None
    known: dict[str, JsonValue] = {}
    if differing := inherited.differing | compare_template(inherited, tokenizer_used, progress, given=template_given):
        known[DIFFERING] = differing
    if check_roles(models_used, record, progress):
        known[EQUAL_MODELS] = True
    compare_reading(inherited, dataset.input, reading, progress)
    dtype = options.dtype or default_dtype()
    batch_tokens = options.batch_tokens or default_batch_tokens()
    sample = dataset.sample(SAMPLE_PAIRS)
    if (holdout := dataset.preferences.holdout) is not None:
        _check_holdout_unseen(holdout, record, progress)
    shard_rows = options.shard_rows or default_shard_rows(sample, models_used.values())
    manifest = Manifest(
        stage=Stage.REWARDS,
        input=dataset.input,
        models=models_used,
        tokenizer=tokenizer_used,
        options={
            "beta": inherited.beta,
            "dtype": dtype,
            "device": default_device().type,
            "max_length": dataset.max_length,
            "truncate": inherited.truncate,
            **dataset.template_plan,
            **reading.plan(),
            "keep_columns": list(reading.keep_columns),
            "batch_tokens": batch_tokens,
            "shard_rows": shard_rows,
            **trust_record(trust_remote_code=options.trust_remote_code),
        },
        parent=record.manifest.fingerprint if record else None,
        versions=installed_versions(),
    )
    return ScoringPlan(
        manifest,
        dataset,
        sample,
        seen=record.pair_ids if record else None,
        beta=inherited.beta,
        known=known,
        dtype=dtype,
        batch_tokens=batch_tokens,
        shard_rows=shard_rows,
    )


def _check_holdout_unseen(holdout: Holdout, record: OracleRecord | None, progress: Progress) -> None:
    """Raise if the oracle was trained on a prompt that is held out: its rewards there would flatter it."""
    if record is None:
        progress.note("note: the oracle has no record of its training, so it may have seen pairs that are held out")
    elif leaked := sum(map(holdout.holds, record.prompt_ids)):
        raise SepoError(
            f"the oracle was trained on {leaked:,} of the prompts that --holdout keeps out",
            "train it on the same rows with the same --holdout (and --split, --limit, --shuffle, --seed, --dedupe)",
        )


def default_shard_rows(sample: Sequence[TokenizedPair], models: Iterable[ModelRecord]) -> int:
    """Rows that take a few minutes to score: a power of two from 64 to 16,384.

    Estimated from the 2 x parameters x tokens floating-point operations of a pass and the rate of such a machine.
    A rough estimate is enough, but it has to be the same one when the run resumes.
    """
    rate = 1e11 if default_device().type == "cpu" else 1e14
    tokens = sum(len(item.prompt_ids) + len(item.chosen_ids) + len(item.rejected_ids) for item in sample) / len(sample)
    rows = SHARD_SECONDS * rate / (2 * tokens * sum(model.parameters for model in models))
    return int(2 ** min(14, max(6, math.floor(math.log2(rows)))))
