"""Select the tokens that matter: the highest rewards of each chosen, the lowest of each rejected response."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

import polars as pl

from schemas.errors import SepoError
from schemas.manifest import InputRecord, Manifest
from schemas.stages import SIDES, Stage, check_table, stage_schema
from sepo_data.directory import TOKENIZER, read_stage
from sepo_data.progress import SILENT, Progress
from sepo_data.shards import open_shard, shard_files
from sepo_data.share import WHOLE, format_share
from sepo_data.store import open_stage
from sepo_data.versions import versions

if TYPE_CHECKING:
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
    token = pl.element()
    quota = (token.len().cast(pl.Int64) * basis_points // WHOLE).clip(lower_bound=1)
    return pl.col(rewards).list.eval(token.rank("ordinal", descending=highest) <= quota)


def add_masks(frame: pl.LazyFrame, *, chosen: int, rejected: int) -> pl.LazyFrame:
    """Add `chosen_mask`, `rejected_mask` and their counts to a frame of rewards; shares in basis points."""
    return frame.with_columns(
        chosen_mask=extreme_mask("chosen_rewards", chosen, highest=True),
        rejected_mask=extreme_mask("rejected_rewards", rejected, highest=False),
    ).with_columns(pl.col(f"{side}_mask").list.sum().cast(pl.Int32).alias(f"{side}_selected") for side in SIDES)


def select(
    rewards: Path,
    out: Path,
    *,
    chosen: int = 3000,
    rejected: int = 3000,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """Write the selection dataset of a rewards dataset, shard by shard; shares in basis points.

    Returns:
        The manifest of `out`, or with `dry_run` of what it would become.

    Raises:
        SepoError: `rewards` is not a whole, valid rewards dataset.
        RefusedError: `out` holds something else.
    """
    started = time.monotonic()
    parent = read_stage(rewards, Stage.REWARDS)
    plan = parent.model_copy(
        update={
            "stage": Stage.SELECTION,
            "input": InputRecord(name=str(rewards), fingerprint=parent.fingerprint, rows=parent.rows),
            "options": {"rule": "top", "chosen": format_share(chosen), "rejected": format_share(rejected)},
            "parent": parent.fingerprint,
            "versions": versions(),
            "finished": False,
            "seconds": None,
            "shards": [],
            "results": {},
        }
    )
    if dry_run:
        return plan.model_copy(update={"results": _estimate(parent)})
    if not (rewards / TOKENIZER).is_dir():
        raise SepoError(f"{rewards / TOKENIZER} is missing, so the token ids mean nothing", "score the dataset again")
    files = shard_files(rewards)
    stage = open_stage(out, plan, shards=len(files), overwrite=overwrite)
    if stage.manifest.finished:
        progress.note(f"{out} is whole already, nothing to do")
        return stage.manifest
    shutil.copytree(rewards / TOKENIZER, out / TOKENIZER, dirs_exist_ok=True)
    for index in stage.missing():
        table = open_shard(files[index])
        check_table(table, Stage.REWARDS, str(files[index]))
        record = stage.write_shard(index, _selection_table(table, chosen=chosen, rejected=rejected))
        progress.step(index + 1, len(files), f"{record.rows:,} pairs")
    return stage.finish(seconds=time.monotonic() - started)


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


def _selection_table(table: pa.Table, *, chosen: int, rejected: int) -> pa.Table:
    """The rewards `table` without its log-probabilities, with masks; side columns of the input stay at the end."""
    masks = ["chosen_mask", "rejected_mask", "chosen_selected", "rejected_selected"]
    frame = pl.DataFrame(pl.from_arrow(table.select([f"{side}_rewards" for side in SIDES]), rechunk=False))
    added = add_masks(frame.lazy(), chosen=chosen, rejected=rejected).select(masks).collect().to_arrow()
    own = set(stage_schema(Stage.REWARDS, conversational=False).names)
    schema = stage_schema(
        Stage.SELECTION,
        conversational=table.schema.field("prompt").type != table.schema.field("pair_id").type,
        extra=[field for field in table.schema if field.name not in own],
    )
    columns = [added.column(name) if name in masks else table.column(name) for name in schema.names]
    return type(table).from_arrays(
        [column.cast(field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )
