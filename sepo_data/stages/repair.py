"""Repair of a dataset that was complete: it becomes a run that lacks what was lost or damaged, and nothing else.

The manifest stays as it is until that run is finished: it has the hash of every shard.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sepo_data.readers.shard_faults import ShardFault
from sepo_data.schemas.folder import INFO, SKIPPED, STATE, shard_index
from sepo_data.shapes.pairs import SkippedRow
from sepo_data.stages.hf_files import dataset_info, dataset_state
from sepo_data.stages.records import is_recorded, write_entry
from sepo_data.stages.verify import shard_faults
from sepo_data.storage.location import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from sepo_data.schemas.manifest import Manifest, ShardRecord

NAMED = 10
"""Files that a note names."""


def damage(path: Path, manifest: Manifest, *, again: bool = False) -> list[ShardFault]:
    """The files of a dataset that are not as `manifest` completed it; `again` reads all."""
    faults = shard_faults(path, manifest.model_copy(update={"complete": True}), again=again)
    known = {fault.file for fault in faults}
    if known <= {INFO, STATE, *manifest.files}:
        wrong = [name for name, content in last_files(path, manifest).items() if not _holds(path / name, content)]
        faults += [ShardFault(name, "is changed") for name in wrong if name not in known]
    if _split_skipped(path, manifest.shards) is None:
        faults.append(ShardFault(SKIPPED, "is missing or has other rows than the shards count"))
    return faults


def reopen(path: Path, manifest: Manifest) -> None:
    """Make an incomplete run of a damaged dataset: every shard that is whole gets a record, `state.json` goes last.

    A shard that has a record was made again already. Without `skipped.jsonl`, only the shards without skipped rows get
    one: `StageWriter.keep_shard` gives it to the others. May be killed, and called again; the caller holds the
    directory lock.
    """
    skipped: Sequence[list[dict[str, Any]] | None] | None = _split_skipped(path, manifest.shards)
    if skipped is None:
        skipped = [None if shard.skipped else [] for shard in manifest.shards]
    wanted = [
        (shard, rows)
        for shard, rows in zip(manifest.shards, skipped, strict=True)
        if rows is not None and not is_recorded(path, shard_index(shard.file), shard.file)
    ]
    checked = manifest.model_copy(update={"complete": False, "shards": [shard for shard, _ in wanted]})
    faulty = {fault.file for fault in shard_faults(path, checked)}
    for shard, rows in wanted:
        if shard.file not in faulty:
            write_entry(path, shard_index(shard.file), shard, rows)
    (path / STATE).unlink(missing_ok=True)


def count_reasons(reasons: Iterable[str]) -> dict[str, int]:
    """The number of each reason, in the order of their names."""
    counts: dict[str, int] = {}
    for reason in reasons:
        counts[reason] = counts.get(reason, 0) + 1
    return dict(sorted(counts.items()))


def last_files(path: Path, manifest: Manifest) -> dict[str, dict[str, Any]]:
    """The content of the files that make the shards in `path` a dataset, in the order in which they are written."""
    with (path / manifest.shards[0].file).open("rb") as source, pa.ipc.open_stream(source) as reader:
        return {INFO: dataset_info(reader.schema), STATE: dataset_state(manifest)}


def damage_text(path: Path, manifest: Manifest) -> str:
    """The note of a repair that begins: the files, and what is wrong with each."""
    faults = [str(fault) for fault in damage(path, manifest)]
    rest = f"; {len(faults) - NAMED:,} more" if len(faults) > NAMED else ""
    return f"repairing {path}: {'; '.join(faults[:NAMED])}{rest}"


def changed_text(before: Manifest, after: Manifest) -> str:
    """The note of a repair that made a shard of other bytes than were recorded `before`; empty if none has."""
    hashes = {shard.file: shard.sha256 for shard in before.shards}
    changed = [shard.file for shard in after.shards if hashes.get(shard.file, shard.sha256) != shard.sha256]
    if not changed:
        return ""
    return (
        f"note: made again with other bytes than before: {', '.join(changed)}; another machine, another version or "
        "other batches round otherwise. Datasets that were made of the shards before have the values of then"
    )


def _split_skipped(path: Path, shards: Sequence[ShardRecord]) -> list[list[dict[str, Any]]] | None:
    """The lines of `skipped.jsonl`, shard by shard; None where they are not those that the records count."""
    try:
        # Not splitlines, which also splits at characters that JSON has inside of strings.
        rows = [asdict(SkippedRow(**json.loads(line))) for line in read_text(path / SKIPPED).split("\n") if line]
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    parts, start = [], 0
    for shard in shards:
        parts.append(rows[start : start + sum(shard.skipped.values())])
        start += len(parts[-1])
        if count_reasons(row["reason"] for row in parts[-1]) != shard.skipped:
            return None
    return parts if start == len(rows) else None


def _holds(file: Path, content: dict[str, Any]) -> bool:
    try:
        return bool(json.loads(read_text(file)) == content)
    except (OSError, ValueError, RecursionError):
        return False
