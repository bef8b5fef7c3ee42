"""Score every response token of a preference dataset: the second step of SePO, as a dataset."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.errors import SepoError
from schemas.manifest import Manifest
from schemas.stages import Stage
from sepo_data.directory import TOKENIZER, find_run, finished_shards
from sepo_data.pairs import Pair, SkippedRow
from sepo_data.progress import SILENT, Progress
from sepo_data.rewards import rewards_schema, rewards_table
from sepo_data.store import open_stage
from sepo_data.versions import versions
from sepo_train.engine import choose_engine
from sepo_train.layout import Tree
from sepo_train.logps import default_batch_tokens, score_trees
from sepo_train.models import (
    check_same_vocabulary,
    default_device,
    default_dtype,
    load_model,
    load_tokenizer,
    model_record,
    tokenizer_record,
)
from sepo_train.oracle_record import read_oracle_record
from sepo_train.preparation import Prepared, prepare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from schemas.manifest import ModelRecord, TokenizerRecord
    from sepo_data.tokenization import TokenizedPair, Truncate
    from sepo_train.engine import Engine

CHUNK = 1000
"""Pairs among which those are looked for that can tell about the engine, and rows that a dry run holds at a time."""


def score(
    dataset: str,
    out: Path,
    *,
    oracle: str,
    ref: str,
    split: str | None = None,
    subset: str | None = None,
    limit: int | None = None,
    keep: Sequence[str] = (),
    beta: float = 0.1,
    max_length: int | None = None,
    truncate: Truncate | None = None,
    dtype: str | None = None,
    chat_template: Path | None = None,
    batch_tokens: int | None = None,
    shard_rows: int = 2048,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """Write the rewards dataset of `dataset` under the oracle and the reference model it started from.

    A shard of `shard_rows` input rows is the unit of work: the same call goes on where a killed one stopped and writes
    the same bytes. A pair's rewards do not depend on what it was batched with.

    Args:
        dataset: anything `read_preferences` reads.
        out: the directory to write.
        oracle: model name; where `sepo oracle` made it, its record of the pairs it was trained on is used.
        ref: model name; its tokenizer and chat template are used.
        split: of the dataset.
        subset: configuration of a Hub dataset that has several.
        limit: read only so many input rows.
        keep: side columns of the input to carry through.
        beta: the oracle's DPO temperature.
        max_length: tokens of prompt and one response; 2048 or the model's context by default.
        truncate: what to cut of pairs that are longer, which are otherwise set aside.
        dtype: of both models; fp32 on a CPU and bf16 on an accelerator by default.
        chat_template: a Jinja file, instead of the tokenizer's own.
        batch_tokens: tokens in one forward pass.
        shard_rows: input rows a shard.
        overwrite: replace another run in `out`.
        dry_run: tokenize and count, but load no weights and write nothing.
        progress: told what was decided and how far it is.

    Returns:
        The manifest of `out`, or with `dry_run` of what it would become, its tokens and skips in `results`.

    Raises:
        SepoError: the input, a model or the tokenizers cannot be used, or no pair is left.
        RefusedError: `out` holds something else.
    """
    started = time.monotonic()
    record = read_oracle_record(oracle)
    prepared = prepare(
        dataset,
        ref,
        other=oracle,
        split=split,
        subset=subset,
        limit=limit,
        keep=keep,
        max_length=max_length,
        truncate=truncate,
        chat_template=chat_template,
        progress=progress,
    )
    check_same_vocabulary(load_tokenizer(oracle), prepared.tokenizer, roles=("oracle", "reference"))
    models_used = {"oracle": model_record(oracle), "ref": model_record(ref)}
    tokenizer_used = tokenizer_record(prepared.tokenizer)
    if record is not None:
        _check_reference(record.manifest, models_used["ref"], tokenizer_used, beta, progress)
    dtype = dtype or default_dtype()
    batch_tokens = batch_tokens or default_batch_tokens()
    plan = Manifest(
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
            "limit": limit,
            "keep": list(keep),
            "batch_tokens": batch_tokens,
            "shard_rows": shard_rows,
        },
        parent=record.manifest.fingerprint if record else None,
        versions=versions(),
    )
    shards = -(-prepared.preferences.rows // shard_rows)
    previous = find_run(out, plan, overwrite=overwrite)
    schema = rewards_schema(
        conversational=prepared.preferences.shape.conversational,
        pairs=(item for item in prepared.preferences if isinstance(item, Pair)),
        keep=keep,
    )
    if dry_run:
        return plan.model_copy(update={"results": {"shards": shards, **_count(prepared)}})
    if previous and previous.finished:
        progress.note(f"{shards} of {shards} shards present, nothing to do")
        return previous

    models = {"oracle": load_model(oracle, dtype=dtype), "ref": load_model(ref, dtype=dtype)}
    engine = choose_engine(models.values(), _trees(prepared.sample(CHUNK)), batch_tokens=batch_tokens)
    progress.note(f"{dtype} on {default_device().type}, {engine.path}, {batch_tokens} tokens a batch")
    # Whatever can be wrong has been found by now; with --overwrite, this is where the other run goes.
    stage = open_stage(out, plan, shards=shards, overwrite=overwrite)
    missing = stage.missing()
    if len(missing) < shards:
        progress.note(f"going on: {shards - len(missing)} of {shards} shards are there")
    prepared.tokenizer.save_pretrained(out / TOKENIZER)
    for index in missing:
        begun = time.monotonic()
        pairs, skipped = prepared.pairs(index * shard_rows, (index + 1) * shard_rows)
        pairs, logps, unusable = _finite(pairs, _logps(models, pairs, engine, batch_tokens))
        table = rewards_table(pairs, logps, beta=beta, seen=record.pair_ids if record else None, schema=schema)
        skipped = sorted([*skipped, *unusable], key=lambda row: row.row)
        written = stage.write_shard(index, table, skipped=skipped, notes=_notes(pairs))
        speed = (written.tokens["chosen"] + written.tokens["rejected"]) / (time.monotonic() - begun)
        progress.step(
            index + 1, shards, f"{written.rows:,} pairs  {speed:,.0f} response tokens/s  {len(skipped)} skipped"
        )
    if not any(shard.rows for shard in finished_shards(out)):
        raise SepoError(
            f"no pair of the {prepared.preferences.rows:,} rows could be scored: both models gave no finite numbers",
            "try --dtype float32; a model that was damaged in training gives NaN everywhere",
        )
    return stage.finish(seconds=time.monotonic() - started, results={"path": engine.path})


def _check_reference(
    oracle: Manifest, ref: ModelRecord, tokenizer: TokenizerRecord, beta: float, progress: Progress
) -> None:
    """Raise where the oracle's own record says that it started elsewhere: its rewards would mean nothing."""
    start, template = oracle.models["ref"], oracle.tokenizer and oracle.tokenizer.chat_template
    if start.weights != ref.weights:
        raise SepoError(
            f"--ref {ref.name} is not the model that the oracle started from, which is {start.name}",
            f"score with --ref {start.name}",
        )
    if template != tokenizer.chat_template:
        raise SepoError(
            "the oracle was trained with another chat template", "give both commands the same --chat-template"
        )
    if oracle.options["beta"] != beta:
        progress.note(f"note: the oracle was trained with beta {oracle.options['beta']}, the rewards have {beta}")


def _logps(
    models: Mapping[str, PreTrainedModel], pairs: Sequence[TokenizedPair], engine: Engine, batch_tokens: int
) -> dict[str, list[list[NDArray[np.float32]]]]:
    """For each model, per pair the (tokens,) log-probabilities of the chosen and the rejected response."""
    trees = _trees(pairs)
    return {
        name: [
            [logps.numpy() for logps in responses]
            for responses in score_trees(model, trees, engine, batch_tokens=batch_tokens)
        ]
        for name, model in models.items()
    }


def _trees(pairs: Sequence[TokenizedPair]) -> list[Tree]:
    return [Tree(item.prompt_ids, (item.chosen_ids, item.rejected_ids)) for item in pairs]


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


def _count(prepared: Prepared) -> dict[str, Any]:
    """What a dry run reports: pairs, tokens, skips by reason and the size on disk."""
    rows = 0
    tokens: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for start in range(0, prepared.preferences.rows, CHUNK):
        pairs, skipped = prepared.pairs(start, start + CHUNK)
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
