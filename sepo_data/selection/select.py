"""Select the tokens that matter: write selection datasets of a rewards dataset, any number of them in one reading."""

from __future__ import annotations

import shutil
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError
from sepo_data.schemas.manifest import InputRecord, Manifest
from sepo_data.schemas.stages import SIDES, Stage, stage_schema, text_options
from sepo_data.schemas.validate import check_table
from sepo_data.selection.quota import Amount
from sepo_data.selection.rules import top
from sepo_data.selection.selection import Selection, mask_columns
from sepo_data.selection.share import format_share
from sepo_data.selection.token_classes import token_classes
from sepo_data.selection.top_k import highest as highest_scores
from sepo_data.stages.directory import TOKENIZER, find_run, read_stage
from sepo_data.stages.scan import open_shard, scan, shard_files
from sepo_data.stages.versions import versions
from sepo_data.stages.writer import open_stage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa


def extreme_mask(rewards: str, basis_points: int, *, highest: bool) -> pl.Expr:
    """Mark the highest (or lowest) rewards of each response: max(1, floor(share x n)) of its n tokens.

    Exactly so many are marked; among equal rewards the earliest token comes first. The indicator I(y_i) of SePO
    (arXiv 2408.13518). Streams: yes.

    Args:
        rewards: name of a list column of finite floats, no list empty.
        basis_points: the share in hundredths of a percent.
        highest: from the top (chosen) or from the bottom (rejected).

    Returns:
        A list column of booleans, aligned with `rewards`.
    """
    score = pl.col(rewards) if highest else pl.col(rewards).list.eval(-pl.element())
    return highest_scores(score, Amount(basis_points).of(pl.col(rewards).list.len()))


def add_masks(frame: pl.LazyFrame, *, chosen: int, rejected: int) -> pl.LazyFrame:
    """Add `chosen_mask`, `rejected_mask` and their counts to a frame of rewards; shares in basis points."""
    return frame.with_columns(
        chosen_mask=extreme_mask("chosen_rewards", chosen, highest=True),
        rejected_mask=extreme_mask("rejected_rewards", rejected, highest=False),
    ).with_columns(pl.col(f"{side}_mask").list.sum().cast(pl.Int32).alias(f"{side}_selected") for side in SIDES)


def select(
    rewards: Path,
    out: Path,
    selection: Selection | None = None,
    *,
    chosen: int = 3000,
    rejected: int = 3000,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """Write the selection dataset of a rewards dataset, shard by shard.

    Args:
        rewards: a rewards directory.
        out: the directory to write.
        selection: which tokens; where it is not given, the rule `top` with the two shares that follow.
        chosen: top share of the chosen, in basis points.
        rejected: bottom share of the rejected, in basis points.
        overwrite: replace another run in `out`.
        dry_run: check and count, write nothing.
        progress: who listens.

    Returns:
        The manifest of `out`, or with `dry_run` of what it would become.

    Raises:
        SepoError: `rewards` is not a whole, valid rewards dataset.
        RefusedError: `out` holds something else.
    """
    selection = selection or Selection(top(chosen=format_share(chosen), rejected=format_share(rejected)))
    [manifest] = select_many(rewards, {out: selection}, overwrite=overwrite, dry_run=dry_run, progress=progress)
    return manifest


def select_many(
    rewards: Path,
    selections: Mapping[Path, Selection],
    *,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> list[Manifest]:
    """Write several selection datasets, each in its own directory; a shard of `rewards` is read once for all of them.

    Each is what `select` alone would have written, and each can be resumed.
    """
    started = time.monotonic()
    parent = read_stage(rewards, Stage.REWARDS)
    plans = {out: _plan(rewards, parent, selection) for out, selection in selections.items()}
    if dry_run:
        return [plan.model_copy(update={"results": _estimate(parent)}) for plan in plans.values()]
    if not (rewards / TOKENIZER).is_dir():
        raise SepoError(f"{rewards / TOKENIZER} is missing, so the token ids mean nothing", "score the dataset again")
    files = shard_files(rewards)
    runs = {out: find_run(out, plan, overwrite=overwrite) for out, plan in plans.items()}
    whole = {out: run for out, run in runs.items() if run is not None and run.finished}
    for out in whole:
        progress.note(f"{out} is whole already, nothing to do")
    unfinished = [out for out in plans if out not in whole]
    texts = token_classes(rewards) if any(selections[out].filters.needs_texts for out in unfinished) else None
    prepared = {out: selections[out].prepared(scan(rewards), rewards, texts) for out in unfinished}
    # Whatever can be wrong has been found by now; with --overwrite, this is where other runs go.
    begun = {out: open_stage(out, plans[out], shards=len(files), overwrite=overwrite) for out in unfinished}
    for stage in begun.values():
        stage.write_folder(TOKENIZER, partial(shutil.copytree, rewards / TOKENIZER, dirs_exist_ok=True))
    missing = {out: frozenset(stage.missing()) for out, stage in begun.items()}
    for index in sorted(frozenset().union(*missing.values())):
        table = open_shard(files[index])
        check_table(table, Stage.REWARDS, str(files[index]))
        wanted = [out for out in begun if index in missing[out]]
        columns = sorted(set().union(*(prepared[out].columns() for out in wanted)))
        frame = pl.DataFrame(pl.from_arrow(table.select(columns), rechunk=False))
        added = mask_columns(frame, [prepared[out] for out in wanted], texts)
        for out, masks in zip(wanted, added, strict=True):
            selected = {f"{side}_selected": int(masks[f"{side}_selected"].sum()) for side in SIDES}
            begun[out].write_shard(index, _selection_table(table, masks), notes=selected)
        progress.step(index + 1, len(files), f"{table.num_rows:,} pairs")
    for out, stage in begun.items():
        numbers = prepared[out].rule.numbers
        whole[out] = stage.finish(seconds=time.monotonic() - started, results={"cuts": numbers} if numbers else None)
    return [whole[out] for out in plans]


def _plan(rewards: Path, parent: Manifest, selection: Selection) -> Manifest:
    return parent.model_copy(
        update={
            "stage": Stage.SELECTION,
            "input": InputRecord(name=str(rewards), fingerprint=parent.fingerprint, rows=parent.rows),
            "options": selection.options(),
            "parent": parent.fingerprint,
            "versions": versions(),
            "finished": False,
            "seconds": None,
            "shards": [],
            "results": {},
        }
    )


def _estimate(parent: Manifest) -> dict[str, Any]:
    """What a dry run reports: the pairs of `parent`, and the bytes they will take."""
    tokens = parent.total("tokens")
    responses = tokens["chosen"] + tokens["rejected"]
    # Two log-probabilities of four bytes go, a bit of the mask comes.
    size = sum(shard.bytes for shard in parent.shards) - 8 * responses + responses // 8
    return {
        "shards": len(parent.shards),
        "rows": parent.rows,
        "tokens": tokens,
        "skipped": {},
        "estimated_bytes": size,
    }


def _selection_table(table: pa.Table, masks: pl.DataFrame) -> pa.Table:
    """The rewards `table` without its log-probabilities, with `masks`; side columns of the input stay at the end."""
    added = masks.to_arrow()
    own = set(stage_schema(Stage.REWARDS, conversational=False).names)
    schema = stage_schema(
        Stage.SELECTION,
        **text_options(table.schema.field("prompt").type),
        weights="chosen_weights" in masks,
        extra=[field for field in table.schema if field.name not in own],
    )
    columns = [added.column(name) if name in masks else table.column(name) for name in schema.names]
    return type(table).from_arrays(
        [column.cast(field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )
