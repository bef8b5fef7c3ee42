"""Score every response token of a preference dataset: the second step of SePO, as a dataset."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from sepo_data.checked import at_least, checked, path_text
from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError
from sepo_data.preferences.reading import Reading, as_reading
from sepo_data.preferences.skipped import enforce_on_bad_row
from sepo_data.schemas.folder import TOKENIZER
from sepo_data.stages.records import finished_shards
from sepo_data.stages.restore import note_changed
from sepo_data.stages.rewards import EQUAL_MODELS, rewards_table
from sepo_data.stages.runs import find_run
from sepo_data.stages.trained_models import begun_on
from sepo_data.stages.writer import open_stage
from sepo_data.storage.location import location
from sepo_train.models.tokenizers import save_stage_tokenizer
from sepo_train.scoring.direction import Direction
from sepo_train.scoring.expected import check_reading, count_pairs
from sepo_train.scoring.model_pair import ModelPair
from sepo_train.scoring.model_roles import equal_models_text
from sepo_train.scoring.options import DEFAULTS, ScoringOptions
from sepo_train.scoring.pair_scorer import PairScorer, skip_non_finite
from sepo_train.scoring.plan import plan_scoring
from sepo_train.scoring.precision import record_precision
from sepo_train.scoring.process_rank import Rank, current_rank
from sepo_train.scoring.restore import restored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa
    from pydantic import JsonValue

    from sepo_data.schemas.manifest import Manifest
    from sepo_data.shapes.pairs import SkippedRow
    from sepo_data.stages.writer import StageWriter
    from sepo_data.tokenization.tokenize import TokenizedPair
    from sepo_train.scoring.plan import ScoringPlan

POLL_SECONDS = 0.5
"""Time between two checks of the first process for shards that others are still writing."""


@checked(only_shard=at_least(0))
def score(
    dataset: str | Path | Reading,
    out: str | Path,
    *,
    oracle: str | Path,
    ref: str | Path,
    options: ScoringOptions = DEFAULTS,
    only_shard: int | None = None,
    rank: Rank | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """Write the rewards dataset of `dataset`: beta * (log p_oracle - log p_ref) for every response token.

    The reward itself is `token_rewards` in sepo_data/stages/rewards.py; the log-probabilities are `token_logps` in
    sepo_train/engine/logps.py. A pair's rewards do not depend on the pairs in its batch.

    A shard of `options.shard_rows` input rows is the unit of work: the same call resumes where a killed one stopped and
    writes the same bytes; of a complete dataset, it makes the files again that were lost or damaged. Any number of
    processes may make the same call at the same time, on one machine or on several that see `out`: each takes shards
    that no other one has locked, and the last to finish completes the dataset. Of ranks that a launcher started, the
    first stays until then, and takes over the shards of ranks that died.

    Args:
        dataset: anything `read_preferences` reads: a name, or a `Reading`, which also has the options of reading.
        out: the directory to write.
        oracle: model name; if `sepo oracle` made it, its record of the pairs it was trained on is used.
        ref: name of the reference model that the oracle started from; its tokenizer and chat template are used.
        options: how pairs are scored.
        only_shard: score this shard alone, and complete the dataset if it was the last.
        rank: of this process among several; by default as the launcher's environment variables have it.
        overwrite: replace another run in `out`.
        dry_run: tokenize and count, but load no weights and write nothing.
        progress: receives notes and the number of finished shards.

    Returns:
        The manifest of `out`, incomplete if other processes are still writing shards; with `dry_run` the manifest that
        it would become, with tokens and skipped rows in `results`.

    Raises:
        SepoError: the input, a model or the tokenizers cannot be used, the oracle was trained on pairs that are held
            out, or no pair is left.
        RefusedError: `out` holds something else.
    """
    started = time.monotonic()
    out, oracle, ref = location(out), path_text(oracle), path_text(ref)
    reading, rank = as_reading(dataset), rank or current_rank()
    _check_overwrite(out, rank, overwrite=overwrite)
    begun, heard = None if overwrite else begun_on(out), progress if rank.first else SILENT
    plan = plan_scoring(reading, oracle=oracle, ref=ref, options=options, begun_on=begun, progress=heard)
    plan.check_shard(only_shard)
    previous = find_run(out, plan.manifest, overwrite=overwrite)
    schema = plan.schema(reading)
    if dry_run:
        return plan.manifest.model_copy(update={"results": count_pairs(plan, options.on_bad_row) | plan.known})

    models = ModelPair(oracle, ref, plan.dtype, options.models_in_memory, options.trust_remote_code, progress=progress)
    checked_pairs = options.check_precision if rank.first else 0
    if finished := restored(out, plan, previous, progress):
        return record_precision(out, finished, models, checked_pairs, progress)

    if previous is None and only_shard is None and rank.first and not reading.streaming:
        check_reading(plan.dataset.preferences, options)
    scorer = PairScorer.tested_on(plan.sample, models, batch_tokens=plan.batch_tokens, progress=progress)
    results = {"layout": scorer.policy.layout_name, **plan.known, **_equal_models(plan, scorer, progress)}
    # All that can be wrong has been found by now; with `overwrite`, this deletes the other run.
    stage = open_stage(out, plan.manifest, shards=plan.shards, overwrite=overwrite)
    stage.write_folder(TOKENIZER, partial(save_stage_tokenizer, plan.dataset.tokenizer))
    pending, direction = frozenset(stage.pending()), Direction()
    if len(pending) < plan.shards:
        progress.note(f"resuming: {plan.shards - len(pending)} of {plan.shards} shards done")
    order = rank.order(plan.shards) if only_shard is None else [only_shard]
    with plan.dataset.prefetch([plan.rows(index) for index in order if index in pending]) as ahead:
        for index in _lock_shards(stage, order, wait=rank.first and rank.count > 1 and only_shard is None):
            since = time.monotonic()
            pairs, skipped = ahead.pairs(*plan.rows(index))
            enforce_on_bad_row(skipped, options.on_bad_row)
            pairs, logps, non_finite = skip_non_finite(pairs, scorer.logps(pairs))
            enforce_on_bad_row(non_finite, options.on_bad_row)
            table = rewards_table(pairs, logps, beta=plan.beta, seen=plan.seen, schema=schema)
            direction.count(table)
            text = _write_shard(stage, index, table, pairs, [*skipped, *non_finite], scorer=scorer, since=since)
            progress.step(stage.done(), plan.shards, text)
    models.release()
    direction.note(progress)

    _check_any_scored(out, plan)
    finished = stage.finish_if_complete(seconds=time.monotonic() - started, results=results)
    if finished is None:
        _note_pending(stage, progress)
        return stage.manifest
    note_changed(previous, finished, progress)
    return record_precision(out, finished, models, checked_pairs, progress)


def _equal_models(plan: ScoringPlan, scorer: PairScorer, progress: Progress) -> dict[str, JsonValue]:
    """The entry of the results where the two models give the same numbers; noted unless their hashes showed it."""
    if not scorer.equal_models:
        return {}
    if EQUAL_MODELS not in plan.known:
        progress.note(equal_models_text(f"on the first pairs, {scorer.models.names} give the same log-probabilities"))
    return {EQUAL_MODELS: True}


def _check_overwrite(out: Path, rank: Rank, *, overwrite: bool) -> None:
    if overwrite and rank.count > 1:
        raise SepoError(
            f"--overwrite is not possible with {rank.count} processes at once: each would delete the others' work",
            f"remove {out} yourself, then start them without it",
        )


def _lock_shards(stage: StageWriter, order: Sequence[int], *, wait: bool) -> Iterator[int]:
    """The shards for this process, each locked while it is yielded; with `wait`, also those that others abandon."""
    yield from stage.lock_shards(order)
    while wait and stage.pending():
        time.sleep(POLL_SECONDS)
        yield from stage.lock_shards(order)


def _write_shard(
    stage: StageWriter,
    index: int,
    table: pa.Table,
    pairs: Sequence[TokenizedPair],
    skipped: Sequence[SkippedRow],
    *,
    scorer: PairScorer,
    since: float,
) -> str:
    """Write shard `index`, begun at the monotonic time `since`, and return its line of progress."""
    counted = ("boundary_merged", "end_trimmed", "truncated")
    counts = {name: sum(getattr(item, name) for item in pairs) for name in counted}
    shard = stage.write_shard(
        index,
        table,
        skipped=sorted(skipped, key=lambda row: row.row),
        notes={**counts, "rechecked": scorer.rechecked},
        seconds=time.monotonic() - since,
    )
    speed = (shard.tokens["chosen"] + shard.tokens["rejected"]) / (time.monotonic() - since)
    return f"shard {index}  {shard.rows:,} pairs  {speed:,.0f} response tokens/s  {len(skipped)} skipped"


def _check_any_scored(out: Path, plan: ScoringPlan) -> None:
    """Raise if all shards are present and no pair of any was scored."""
    records = finished_shards(out)  # empty if another process has completed the dataset
    if len(records) == plan.shards and not any(shard.rows for shard in records):
        rows = plan.dataset.preferences.rows
        raise SepoError(
            f"no pair of the {rows:,} rows could be scored: both models gave no finite numbers",
            "try --dtype float32; a model that was damaged in training gives NaN everywhere",
        )


def _note_pending(stage: StageWriter, progress: Progress) -> None:
    progress.note(
        f"{len(stage.pending())} of {stage.shards} shards are pending; the process that writes the last one completes "
        "the dataset"
    )
