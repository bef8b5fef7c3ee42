"""Select the tokens that matter: write any number of selection datasets of a rewards dataset in one reading of it."""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from sepo_data.checked import checked
from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError
from sepo_data.preferences.skipped import reasons_text
from sepo_data.schemas.folder import TOKENIZER
from sepo_data.schemas.manifest import InputRecord, Manifest
from sepo_data.schemas.stages import SIDES, Stage, stage_schema, text_options
from sepo_data.schemas.validate import check_table
from sepo_data.selection.equal_rewards import refuse_equal_rewards
from sepo_data.selection.parse import parse_rule
from sepo_data.selection.selection import Selection, mask_columns
from sepo_data.selection.token_classes import token_classes
from sepo_data.stages.directory import read_stage
from sepo_data.stages.records import finished_shards
from sepo_data.stages.repair import count_reasons
from sepo_data.stages.restore import note_changed, open_restored
from sepo_data.stages.runs import find_run
from sepo_data.stages.scan import fetched_stage, scan
from sepo_data.stages.shards import read_shards, to_frame
from sepo_data.stages.token_text import AGAIN
from sepo_data.stages.versions import installed_versions
from sepo_data.storage.location import location

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from sepo_data.selection.quota import Amount
    from sepo_data.selection.rule import Rule
    from sepo_data.selection.token_classes import TokenClasses
    from sepo_data.shapes.pairs import SkippedRow
    from sepo_data.stages.shards import Shard
    from sepo_data.stages.writer import StageWriter

POLL_SECONDS = 0.1
"""Time between two looks at the shards that other processes are writing."""


@checked()
def select(
    rewards: str | Path,
    out: str | Path,
    selection: Selection | Rule | str | None = None,
    *,
    chosen: Amount | None = None,
    rejected: Amount | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    verify: bool = True,
    progress: Progress = SILENT,
) -> Manifest:
    """Write the selection dataset of a rewards dataset, shard by shard.

    Args:
        rewards: a rewards directory.
        out: the directory to write.
        selection: rule, filters and weights; or a rule alone, as text such as "mass(80%)" too. By default `top`.
        chosen: quota of the chosen, `"30%"`, 0.3 or `"16t"`, for a rule that is a text and leaves it open.
        rejected: the same of the rejected.
        overwrite: replace another run in `out`.
        dry_run: check and count, write nothing.
        verify: compare the hash of each shard with the manifest, once until the file changes.
        progress: receives notes and steps.

    Returns:
        The manifest of `out`; with `dry_run` the planned one.

    Raises:
        SepoError: `rewards` is not a complete, valid rewards dataset, an argument makes no sense, or no row is left.
        RefusedError: `out` holds another dataset or other files.
    """
    quotas = {side: quota for side, quota in (("chosen", chosen), ("rejected", rejected)) if quota is not None}
    selection = "top" if selection is None else selection
    if quotas and not isinstance(selection, str):
        raise SepoError(
            f"{' and '.join(quotas)} beside a rule that has its own", "give them to the rule: top(chosen=0.3)"
        )
    wanted: dict[str | Path, Selection | Rule | str] = {
        out: parse_rule(selection, quotas) if isinstance(selection, str) else selection
    }
    [manifest] = select_many(rewards, wanted, overwrite=overwrite, dry_run=dry_run, verify=verify, progress=progress)
    return manifest


@checked()
def select_many(
    rewards: str | Path,
    selections: Mapping[str | Path, Selection | Rule | str] | Mapping[Path, Selection],
    *,
    overwrite: bool = False,
    dry_run: bool = False,
    verify: bool = True,
    progress: Progress = SILENT,
) -> list[Manifest]:
    """Write several selection datasets, each in its own directory; a shard of `rewards` is read once for all of them.

    Each is what `select` alone would have written, and each can be resumed. Rows that a rule cannot be used on, such as
    those whose spans are wrong, are skipped.
    """
    wanted = {
        location(out): made if isinstance(made, Selection) else Selection(made) for out, made in selections.items()
    }
    if len(wanted) < len(selections):
        raise SepoError("two selections have the same directory", "give each its own")
    settings = {"overwrite": overwrite, "dry_run": dry_run, "verify": verify}
    return _select(fetched_stage(rewards), wanted, progress, **settings)


def _select(
    rewards: Path,
    selections: Mapping[Path, Selection],
    progress: Progress,
    *,
    overwrite: bool,
    dry_run: bool,
    verify: bool,
) -> list[Manifest]:
    started = time.monotonic()
    parent = read_stage(rewards, Stage.REWARDS)
    shards = read_shards(rewards, parent, verify=verify)
    plans = {out: _plan(rewards, parent, selection) for out, selection in selections.items()}
    _check_tokenizer(rewards / TOKENIZER)
    found = {out: find_run(out, plan, overwrite=overwrite) for out, plan in plans.items()}
    incomplete = [out for out, run in found.items() if run is None or not run.complete]
    refuse_equal_rewards(parent, shards, [selections[out].rule for out in incomplete])
    classes = token_classes(rewards) if any(selections[out].needs_classes for out in incomplete) else None
    prepared = {out: selections[out].prepared(scan(rewards, verify=verify), rewards, classes) for out in incomplete}
    if dry_run:
        skipped = {out: _unusable_rows(rewards, shards, prepared.get(out, each)) for out, each in selections.items()}
        return [plan.model_copy(update={"results": _estimate(parent, skipped[out])}) for out, plan in plans.items()]
    # Every check has passed by now; with --overwrite, this is where other runs are deleted.
    opened = partial(
        open_restored,
        shards=len(shards),
        save_tokenizer=partial(shutil.copytree, rewards / TOKENIZER, dirs_exist_ok=True),
        progress=progress,
        overwrite=overwrite,
    )
    writers = {out: opened(out, plan, found[out]) for out, plan in plans.items()}
    wanted = {writers[out]: prepared[out] for out in incomplete}
    _write_pending(wanted, shards, classes, progress)
    finished = []
    for out, writer in writers.items():
        _check_any_selected(out, writer)
        numbers = prepared[out].rule.numbers if out in prepared else None
        results = {"cuts": numbers} if numbers else None
        while (made := writer.finish_if_complete(seconds=time.monotonic() - started, results=results)) is None:
            _write_pending(wanted, shards, classes, progress)
        note_changed(found[out], made, progress)
        finished.append(made)
    return finished


def _check_tokenizer(folder: Path) -> None:
    """Raise where the tokenizer of the rewards is lost or cut: no selection gets a part of one."""
    if not (folder / "tokenizer.json").is_file():
        raise SepoError(f"{folder} is missing or incomplete, so the token ids mean nothing", AGAIN)
    for file in folder.glob("*.json"):
        content = file.read_bytes().strip()
        if (content[:1], content[-1:]) not in {(b"{", b"}"), (b"[", b"]")}:
            raise SepoError(f"{file} is cut", AGAIN)


def _write_pending(
    selections: Mapping[StageWriter, Selection],
    shards: Sequence[Shard],
    classes: TokenClasses | None,
    progress: Progress,
) -> None:
    """Write the shards that the prepared `selections` lack, and wait for those that other processes write."""
    while pending := {writer: missing for writer in selections if (missing := frozenset(writer.pending()))}:
        written = False
        for index in sorted(frozenset().union(*pending.values())):
            with ExitStack() as claims:
                wanted = {
                    writer: selections[writer]
                    for writer, missing in pending.items()
                    if index in missing and claims.enter_context(writer.claimed(index))
                }
                if wanted:
                    pairs = _write_shard(index, shards[index], wanted, classes)
                    progress.step(index + 1, len(shards), f"{pairs:,} pairs")
                    written = True
        if not written:
            time.sleep(POLL_SECONDS)
            for writer, missing in pending.items():
                writer.free_of_dead(missing)


def _write_shard(
    index: int, shard: Shard, selections: Mapping[StageWriter, Selection], classes: TokenClasses | None
) -> int:
    """Read one shard of the rewards, write it for each of the prepared `selections`; the number of pairs."""
    table = shard.table()
    check_table(table, Stage.REWARDS, str(shard.file))
    columns = sorted(set().union(*(selection.columns() for selection in selections.values())))
    frame = to_frame(table.select(columns), shard.file)
    skipped = {writer: selection.unusable(frame) for writer, selection in selections.items()}
    together = [writer for writer in selections if not skipped[writer]]
    masks = dict(zip(together, mask_columns(frame, [selections[each] for each in together], classes), strict=True))
    for writer, selection in selections.items():
        used = np.delete(np.arange(len(frame)), list(skipped[writer]))
        if skipped[writer]:
            [masks[writer]] = mask_columns(frame[used], [selection], classes)
        selected = {f"{side}_selected": int(masks[writer][f"{side}_selected"].sum()) for side in SIDES}
        kept = table.take(pa.array(used)) if skipped[writer] else table
        writer.write_shard(
            index, _selection_table(kept, masks[writer]), skipped=list(skipped[writer].values()), notes=selected
        )
    return int(table.num_rows)


def _unusable_rows(rewards: Path, shards: Sequence[Shard], selection: Selection) -> list[SkippedRow]:
    """The rows that `selection`, prepared or not, will skip."""
    if selection.rule.unusable is None:
        return []
    prepared = selection.prepared(scan(rewards, verify=False), rewards)
    columns = sorted(prepared.columns())
    return [row for shard in shards for row in prepared.unusable(shard.frame(columns)).values()]


def _check_any_selected(out: Path, writer: StageWriter) -> None:
    """Raise if all shards are present and every row of them was skipped."""
    records = finished_shards(out)  # empty if another process has completed the dataset
    if len(records) == writer.shards and not any(shard.rows for shard in records):
        reasons = writer.manifest.model_copy(update={"shards": records}).total("skipped")
        raise SepoError(
            f"{out}: no row is left, {reasons_text(reasons)}", "correct the spans, or select by another rule"
        )


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
            "files": {},
            "results": {},
        }
    )


def _estimate(parent: Manifest, skipped: Sequence[SkippedRow]) -> dict[str, Any]:
    """The results of a dry run: the pairs of `parent`, and the bytes that the selection will take at most."""
    tokens = parent.total("tokens")
    responses = tokens["chosen"] + tokens["rejected"]
    # A token loses two log-probabilities of four bytes and gains a bit of the mask.
    size = sum(shard.bytes for shard in parent.shards) - 8 * responses + responses // 8
    return {
        "shards": len(parent.shards),
        "rows": parent.rows - len(skipped),
        "tokens": tokens,
        "skipped": count_reasons(row.reason for row in skipped),
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
