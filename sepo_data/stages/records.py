"""Records of the finished shards of an incomplete dataset, one file each in `.sepo/`; a damaged one counts as lost."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from sepo_data.readers.shard_faults import file_fault
from sepo_data.schemas.folder import RECORDS
from sepo_data.schemas.manifest import ShardRecord
from sepo_data.shapes.pairs import SkippedRow
from sepo_data.storage.atomic import write_text
from sepo_data.storage.location import read_text
from sepo_data.storage.version import file_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def finished_shards(path: Path) -> list[ShardRecord]:
    """The records of an incomplete dataset's shards, in order."""
    return [ShardRecord.model_validate(entry["record"]) for entry in shard_entries(path)]


def shard_entries(path: Path) -> list[dict[str, Any]]:
    """The entries of an incomplete dataset's finished shards, in order."""
    files = sorted((path / RECORDS).glob("*.json"), key=lambda file: file.name)
    return [entry for entry in map(read_entry, files) if entry is not None]


def write_entry(
    path: Path,
    index: int,
    record: ShardRecord,
    skipped: Sequence[Mapping[str, Any]],
    *,
    ended: float = 0.0,
    seconds: float | None = None,
) -> None:
    """Record shard `index` of the dataset `path`, whose file is there.

    Args:
        path: of the dataset.
        index: of the shard.
        record: as it will be in the manifest.
        skipped: the skipped input rows of the shard.
        ended: the time when it was finished; 0 where that is no longer known.
        seconds: time spent on it.
    """
    entry = {
        "record": record.model_dump(mode="json"),
        "skipped": list(skipped),
        "version": file_version(path / record.file),
        "ended": ended,
        "seconds": seconds,
    }
    write_text(record_path(path, index), json.dumps({**entry, "check": _check(entry)}))


def read_entry(file: Path) -> dict[str, Any] | None:
    """The entry in one file of `write_entry`; None where it is missing or damaged."""
    try:
        entry: dict[str, Any] = json.loads(read_text(file))
        if entry.pop("check", None) not in (None, _check(entry)):  # earlier versions wrote none
            return None
        ShardRecord.model_validate(entry["record"])
        for row in entry["skipped"]:
            SkippedRow(**row)
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return entry


def is_recorded(path: Path, index: int, name: str) -> bool:
    """True if shard `index` of the name `name` has a record, and a file of its size."""
    entry = read_entry(record_path(path, index))
    if entry is None or entry["record"]["file"] != name:
        return False
    try:
        return bool((path / name).stat().st_size == entry["record"]["bytes"])
    except FileNotFoundError:
        return False


def is_false(path: Path, index: int, name: str) -> bool:
    """True if there is a record of shard `index` that is damaged, or the file is not the one it was written for.

    Of a file that was not touched since, only the version is read, not the content.
    """
    if not is_recorded(path, index, name):
        return record_path(path, index).exists()
    entry = read_entry(record_path(path, index))
    if entry is None or entry.get("version") == file_version(path / name):
        return False
    return bool(file_fault(path / name, ShardRecord.model_validate(entry["record"])))


def record_path(path: Path, index: int) -> Path:
    """The file of the record of shard `index`."""
    return path / RECORDS / f"{index:05d}.json"


def lock_path(path: Path, index: int) -> Path:
    """The lock of shard `index`."""
    return path / RECORDS / f"{index:05d}.lock"


def _check(entry: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry).encode()).hexdigest()[:16]
