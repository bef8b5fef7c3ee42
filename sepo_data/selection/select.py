"""Select the tokens that matter: write any number of selection datasets of a rewards dataset in one reading of it."""

from __future__ import annotations

import shutil
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError
from sepo_data.schemas.manifest import InputRecord, Manifest
from sepo_data.schemas.stages import SIDES, Stage, stage_schema, text_options
from sepo_data.schemas.validate import check_table
from sepo_data.selection.rules.top import top
from sepo_data.selection.selection import Selection, mask_columns
from sepo_data.selection.token_classes import token_classes
from sepo_data.share import format_share
from sepo_data.stages.directory import TOKENIZER, read_stage
from sepo_data.stages.runs import find_run
from sepo_data.stages.scan import open_shard, scan, shard_files
from sepo_data.stages.versions import installed_versions
from sepo_data.stages.writer import open_stage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sepo_data.selection.token_classes import TokenClasses
    from sepo_data.stages.writer import StageWriter


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
        selection: rule, filters and weights; by default the rule `top` with the two shares that follow.
        chosen: top share of the chosen, in basis points.
        rejected: bottom share of the rejected, in basis points.
        overwrite: replace another run in `out`.
        dry_run: check and count, write nothing.
        progress: receives notes and steps.

    Returns:
        The manifest of `out`; with `dry_run` the planned one.

    Raises:
        SepoError: `rewards` is not a complete, valid rewards dataset.
        RefusedError: `out` holds another dataset or other files.
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
    found = {out: find_run(out, plan, overwrite=overwrite) for out, plan in plans.items()}
    complete = {out: run for out, run in found.items() if run is not None and run.complete}
    for out in complete:
        progress.note(f"{out} is complete; nothing to do")
    incomplete = [out for out in plans if out not in complete]
    classes = token_classes(rewards) if any(selections[out].needs_classes for out in incomplete) else None
    prepared = {out: selections[out].prepared(scan(rewards), rewards, classes) for out in incomplete}
    # Every check has passed by now; with --overwrite, this is where other runs are deleted.
    writers = {out: open_stage(out, plans[out], shards=len(files), overwrite=overwrite) for out in incomplete}
    for writer in writers.values():
        writer.write_folder(TOKENIZER, partial(shutil.copytree, rewards / TOKENIZER, dirs_exist_ok=True))
    pending = {out: frozenset(writer.pending()) for out, writer in writers.items()}
    for index in sorted(frozenset().union(*pending.values())):
        wanted = {writers[out]: prepared[out] for out in writers if index in pending[out]}
        pairs = _write_shard(index, files[index], wanted, classes)
        progress.step(index + 1, len(files), f"{pairs:,} pairs")
    for out, writer in writers.items():
        numbers = prepared[out].rule.numbers
        results = {"cuts": numbers} if numbers else None
        complete[out] = writer.finish(seconds=time.monotonic() - started, results=results)
    return [complete[out] for out in plans]


def _write_shard(
    index: int, file: Path, selections: Mapping[StageWriter, Selection], classes: TokenClasses | None
) -> int:
    """Read one shard of the rewards, write it for each of the prepared `selections`; the number of pairs."""
    table = open_shard(file)
    check_table(table, Stage.REWARDS, str(file))
    columns = sorted(set().union(*(selection.columns() for selection in selections.values())))
    frame = pl.DataFrame(pl.from_arrow(table.select(columns), rechunk=False))
    added = mask_columns(frame, list(selections.values()), classes)
    for writer, masks in zip(selections, added, strict=True):
        selected = {f"{side}_selected": int(masks[f"{side}_selected"].sum()) for side in SIDES}
        writer.write_shard(index, _selection_table(table, masks), notes=selected)
    return int(table.num_rows)


def _plan(rewards: Path, parent: Manifest, selection: Selection) -> Manifest:
    return parent.model_copy(
        update={
            "stage": Stage.SELECTION,
            "input": InputRecord(name=str(rewards), fingerprint=parent.fingerprint, rows=parent.rows),
            "options": selection.options(),
            "parent": parent.fingerprint,
            "versions": installed_versions(),
            "complete": False,
            "seconds": None,
            "shards": [],
            "results": {},
        }
    )


def _estimate(parent: Manifest) -> dict[str, Any]:
    """The results of a dry run: the pairs of `parent`, and the bytes that the selection will take."""
    tokens = parent.total("tokens")
    responses = tokens["chosen"] + tokens["rejected"]
    # A token loses two log-probabilities of four bytes and gains a bit of the mask.
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
    return pa.Table.from_arrays(
        [column.cast(field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )
