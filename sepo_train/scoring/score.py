"""Score every response token of a preference dataset: the second step of SePO, as a dataset."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError
from sepo_data.preferences.reading import Reading, as_reading
from sepo_data.preferences.skipped import OnBadRow, judge
from sepo_data.shapes.pairs import Pair, SkippedRow
from sepo_data.stages.directory import TOKENIZER, claim, find_run, finished_shards, record_results
from sepo_data.stages.rewards import rewards_schema, rewards_table
from sepo_data.stages.writer import open_stage
from sepo_train.engine.choose import choose_engine
from sepo_train.engine.logps import score_trees
from sepo_train.models.load import default_device
from sepo_train.scoring.model_pair import Resident, Residents
from sepo_train.scoring.plan import plan_scoring
from sepo_train.scoring.precision import precision, precision_text
from sepo_train.scoring.prompt_groups import prompt_groups
from sepo_train.scoring.ranks import Rank, current_rank

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel

    from sepo_data.preferences.preferences import Preferences
    from sepo_data.schemas.manifest import Manifest, ShardRecord
    from sepo_data.stages.writer import StageDirectory
    from sepo_data.tokenization.tokenize import TokenizedPair, Truncate
    from sepo_train.engine.choose import Engine
    from sepo_train.engine.layout import Tree
    from sepo_train.models.dataset import Prepared

POLL = 0.5
"""Seconds between two looks of the first process at what the others are still writing."""


def score(
    dataset: str | Reading,
    out: Path,
    *,
    oracle: str,
    ref: str,
    beta: float = 0.1,
    max_length: int | None = None,
    truncate: Truncate | None = None,
    dtype: str | None = None,
    chat_template: Path | None = None,
    batch_tokens: int | None = None,
    shard_rows: int | None = None,
    on_bad_row: OnBadRow = "skip",
    only_shard: int | None = None,
    resident: Resident = "one",
    check_precision: int = 0,
    rank: Rank | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """Write the rewards dataset of `dataset` under the oracle and the reference model it started from.

    A shard of `shard_rows` input rows is the unit of work: the same call goes on where a killed one stopped and writes
    the same bytes. Any number of processes may make the same call at the same time, on one machine or on several that
    see `out`: each takes shards that nobody else has, and the last one finishes the dataset. Of ranks that a launcher
    started, the first stays until then, and takes over what another one drops. A pair's rewards do not depend on what
    it was batched with.

    Args:
        dataset: anything `read_preferences` reads: a name, or a `Reading`, which also says how.
        out: the directory to write.
        oracle: model name; where `sepo oracle` made it, its record of the pairs it was trained on is used.
        ref: model name; its tokenizer and chat template are used.
        beta: the oracle's DPO temperature.
        max_length: tokens of prompt and one response; 2048 or the model's context by default.
        truncate: what to cut of pairs that are longer, which are otherwise set aside.
        dtype: of both models; fp32 on a CPU and bf16 on an accelerator by default.
        chat_template: a Jinja file, instead of the tokenizer's own.
        batch_tokens: tokens in one forward pass.
        shard_rows: input rows a shard; by default as many as take a few minutes, see `scoring_plan`.
        on_bad_row: set rows that cannot be used aside, or stop at the first.
        only_shard: score this shard alone, and finish the dataset if it was the last.
        resident: how many of the two models memory holds at a time.
        check_precision: score so many pairs again in fp32, one response at a time, and record how far they differ.
        rank: which of several processes this one is; what the launcher says by default.
        overwrite: replace another run in `out`.
        dry_run: tokenize and count, but load no weights and write nothing.
        progress: told what was decided and how far it is.

    Returns:
        The manifest of `out`, unfinished where shards are left to others; with `dry_run` of what it would become, its
        tokens and skips in `results`.

    Raises:
        SepoError: the input, a model or the tokenizers cannot be used, the oracle was trained on pairs that are held
            out, or no pair is left.
        RefusedError: `out` holds something else.
    """
    started = time.monotonic()
    reading = as_reading(dataset)
    rank = rank or current_rank()
    if overwrite and rank.count > 1:
        raise SepoError(
            f"--overwrite cannot be told to {rank.count} processes at once: each would delete the others' work",
            f"remove {out} yourself, then start them without it",
        )
    plan = plan_scoring(
        reading,
        oracle=oracle,
        ref=ref,
        beta=beta,
        max_length=max_length,
        truncate=truncate,
        dtype=dtype,
        chat_template=chat_template,
        batch_tokens=batch_tokens,
        shard_rows=shard_rows,
        progress=progress if rank.first else SILENT,
    )
    prepared, shards = plan.prepared, plan.shards
    if only_shard is not None and not 0 <= only_shard < shards:
        raise SepoError(f"there is no shard {only_shard}", f"the {shards} shards have the numbers 0 to {shards - 1}")
    previous = find_run(out, plan.manifest, overwrite=overwrite)
    schema = _schema(prepared.preferences, reading)
    if dry_run:
        counted = _count(prepared, on_bad_row)
        return plan.manifest.model_copy(update={"results": {"shards": shards, **counted}})

    models = Residents(oracle, ref, dtype=plan.dtype, resident=resident)
    if previous and previous.finished:
        progress.note(f"{shards} of {shards} shards present, nothing to do")
        claim(out, plan.manifest)  # a kill at the very end has left the records of the shards there
        return _with_precision(previous, out, models, check_precision if rank.first else 0, progress)

    trees, _ = prompt_groups(plan.sample, plan.batch_tokens)
    if models.check_adapter(trees[:1]):
        progress.note("the oracle is an adapter on the reference model: one set of weights serves both")
    engine = choose_engine(models.in_turn(), trees, batch_tokens=plan.batch_tokens)
    progress.note(f"{plan.dtype} on {default_device().type}, {engine.path}, {plan.batch_tokens} tokens a batch")
    # Whatever can be wrong has been found by now; with --overwrite, this is where the other run goes.
    stage = open_stage(out, plan.manifest, shards=shards, overwrite=overwrite)
    if there := shards - len(stage.missing()):
        progress.note(f"going on: {there} of {shards} shards are there")
    stage.write_folder(TOKENIZER, prepared.tokenizer.save_pretrained)
    order = rank.order(shards) if only_shard is None else [only_shard]
    batch_tokens = plan.batch_tokens
    missing = frozenset(stage.missing())
    with prepared.ahead([plan.rows(index) for index in order if index in missing], progress=progress) as ahead:
        for index in _claimed(stage, order, to_the_end=rank.first and rank.count > 1 and only_shard is None):
            begun = time.monotonic()
            pairs, skipped = ahead.pairs(*plan.rows(index))
            judge(skipped, on_bad_row)
            logps, batch_tokens = _logps(models, pairs, engine, batch_tokens, progress)
            pairs, logps, unusable = _finite(pairs, logps)
            judge(unusable, on_bad_row)
            written = stage.write_shard(
                index,
                rewards_table(pairs, logps, beta=beta, seen=plan.seen, schema=schema),
                skipped=sorted([*skipped, *unusable], key=lambda row: row.row),
                notes=_notes(pairs),
                seconds=time.monotonic() - begun,
            )
            progress.step(stage.done(), shards, _shard_text(index, written, time.monotonic() - begun))
    models.release()
    records = finished_shards(out)  # where another process has finished the dataset, they are gone
    if len(records) == shards and not any(shard.rows for shard in records):
        raise SepoError(
            f"no pair of the {prepared.preferences.rows:,} rows could be scored: both models gave no finite numbers",
            "try --dtype float32; a model that was damaged in training gives NaN everywhere",
        )
    finished = stage.finish_if_whole(seconds=time.monotonic() - started, results={"path": engine.path})
    if finished is None:
        left = len(stage.missing())
        progress.note(f"{left} of {shards} shards are left to others; the last one finishes the dataset")
        return stage.manifest
    return _with_precision(finished, out, models, check_precision if rank.first else 0, progress)


def _schema(preferences: Preferences, reading: Reading) -> pa.Schema:
    """The columns of the rewards dataset: sepo's own, those to keep, and those that reading adds."""
    schema = rewards_schema(
        shape=preferences.shape,
        pairs=(item for item in preferences.in_any_order() if isinstance(item, Pair)),
        keep=reading.keep,
    )
    for name, meaning in preferences.added.items():
        schema = schema.append(pa.field(name, pa.string(), metadata={"doc": meaning}))
    return schema


def _claimed(stage: StageDirectory, order: Sequence[int], *, to_the_end: bool) -> Iterator[int]:
    """The shards for this process; `to_the_end`, also those that others began and did not finish."""
    yield from stage.claim_shards(order)
    while to_the_end and stage.missing():
        time.sleep(POLL)
        yield from stage.claim_shards(order)


def _shard_text(index: int, shard: ShardRecord, seconds: float) -> str:
    speed = (shard.tokens["chosen"] + shard.tokens["rejected"]) / seconds
    skipped = sum(shard.skipped.values())
    return f"shard {index}  {shard.rows:,} pairs  {speed:,.0f} response tokens/s  {skipped} skipped"


def _with_precision(manifest: Manifest, out: Path, models: Residents, count: int, progress: Progress) -> Manifest:
    """The manifest on disk with the result of the precision check, where one is asked for."""
    if not count:
        return manifest
    found = manifest.results.get("precision")
    if not isinstance(found, dict) or found["pairs"] != min(count, manifest.rows):
        found = precision(out, manifest, models, count)
    progress.note(precision_text(found))
    return record_results(out, {**manifest.results, "precision": found})


def _logps(
    models: Residents, pairs: Sequence[TokenizedPair], engine: Engine, batch_tokens: int, progress: Progress
) -> tuple[dict[str, list[list[NDArray[np.float32]]]], int]:
    """For each role, per pair the (tokens,) log-probabilities of the chosen and the rejected response.

    Also the tokens that a batch may have from now on: fewer after memory ran out.
    """
    remaining = batch_tokens

    def remember(tokens: int) -> None:
        nonlocal remaining
        remaining = min(remaining, tokens)
        progress.note(f"out of memory: {remaining} tokens a batch from now on")

    trees, places = prompt_groups(pairs, batch_tokens)

    def by_pair(model: PreTrainedModel) -> list[list[NDArray[np.float32]]]:
        def scored(some: Sequence[Tree]) -> list[list[Tensor]]:
            return score_trees(model, some, engine, batch_tokens=remaining, on_out_of_memory=remember)

        scores = scored(trees)
        for index, responses in enumerate(scores):
            # In a shared row, NaN spreads from one response to the others.
            if len(responses) > 1 and not all(bool(logps.isfinite().all()) for logps in responses):
                scores[index] = [logps for [logps] in scored(trees[index].apart())]
        return [[scores[tree][branch].numpy() for tree, branch in sides] for sides in places]

    return models.each(by_pair), remaining


def _finite(
    pairs: list[TokenizedPair], logps: dict[str, list[list[NDArray[np.float32]]]]
) -> tuple[list[TokenizedPair], dict[str, list[list[NDArray[np.float32]]]], list[SkippedRow]]:
    """Set aside the pairs for which a model gave NaN or infinity; neither ever reaches the disk."""
    bad = {
        index: name
        for name, by_pair in logps.items()
        for index, sides in enumerate(by_pair)
        if not all(np.isfinite(side).all() for side in sides)
    }
    good = [index for index in range(len(pairs)) if index not in bad]
    skipped = [
        SkippedRow(
            pairs[index].pair.source_row, "non_finite", f"the {name} model gave NaN or infinite log-probabilities"
        )
        for index, name in bad.items()
    ]
    kept = {name: [by_pair[index] for index in good] for name, by_pair in logps.items()}
    return [pairs[index] for index in good], kept, skipped


def _notes(pairs: Sequence[TokenizedPair]) -> dict[str, int]:
    return {name: sum(getattr(item, name) for item in pairs) for name in ("boundary_merged", "truncated")}


def _count(prepared: Prepared, on_bad_row: OnBadRow) -> dict[str, Any]:
    """What a dry run reports: pairs, tokens, skips by reason and the size on disk."""
    rows = 0
    tokens: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    with closing(prepared.chunks()) as chunks:
        for pairs, skipped in chunks:
            judge(skipped, on_bad_row)
            rows += len(pairs)
            reasons.update(row.reason for row in skipped)
            for item in pairs:
                tokens.update(prompt=len(item.prompt_ids), chosen=len(item.chosen_ids), rejected=len(item.rejected_ids))
    responses = tokens["chosen"] + tokens["rejected"]
    # Ids, two log-probabilities and a reward are four bytes each; the text takes about four bytes a token as well.
    return {
        "rows": rows,
        "tokens": dict(tokens),
        "skipped": dict(sorted(reasons.items())),
        "estimated_bytes": 8 * tokens["prompt"] + 20 * responses,
    }
