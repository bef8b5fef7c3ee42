"""Throughput of an incomplete dataset: shards done, response tokens a second, and the time left."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sepo_data.schemas.folder import RECORDS, shards_of
from sepo_data.stages.records import shard_entries
from sepo_data.storage.locks import seems_locked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sepo_data.schemas.manifest import Manifest

RECENT_SECONDS = 3600.0
"""The window before the last finished shard over which the throughput is measured."""


@dataclass(frozen=True)
class Throughput:
    """An incomplete dataset at one moment."""

    shards: int  # done
    total_shards: int | None  # None before the first shard, where the plan does not have the number
    locked_shards: int  # being written
    tokens_per_second: float | None  # of responses; None where no shard has a time
    seconds_left: float | None  # from now, with as many processes as before


def read_throughput(folder: Path, manifest: Manifest) -> Throughput:
    """The throughput of the incomplete dataset in `folder`."""
    entries = shard_entries(folder)
    records = [entry["record"] for entry in entries]
    total = _total(records, manifest)
    present = {record["file"].split("-")[1] for record in records}
    locked = sum(lock.stem not in present and seems_locked(lock) for lock in (folder / RECORDS).glob("[0-9]*.lock"))
    rate = tokens_per_second(entries)
    left = None
    if rate and total:
        tokens = sum(_tokens(record) for record in records) / len(records) * (total - len(records))
        begun = max(0.0, time.time() - max(entry["ended"] for entry in entries)) if locked else 0.0
        left = max(0.0, tokens / rate - begun)
    return Throughput(len(records), total, locked, rate, left)


def tokens_per_second(entries: Sequence[dict[str, Any]], recent: float = RECENT_SECONDS) -> float | None:
    """Response tokens over the time in which any process worked: the union of the shards' intervals.

    Any number of processes may have written them; a pause between two runs does not count.

    Args:
        entries: as `shard_entries` returns them, in any order.
        recent: seconds before the end of the last one; earlier parts of the intervals do not count.
    """
    timed = [entry for entry in entries if entry.get("seconds")]
    if not timed:
        return None
    start = max(entry["ended"] for entry in timed) - recent
    late = sorted((max(entry["ended"] - entry["seconds"], start), entry["ended"]) for entry in timed)
    covered, end = 0.0, start
    for begun, ended in late:
        if ended > end:
            covered += ended - max(begun, end)
            end = ended
    return sum(_tokens(entry["record"]) for entry in timed if entry["ended"] > start) / covered


def _tokens(record: dict[str, Any]) -> int:
    return int(record["tokens"]["chosen"] + record["tokens"]["rejected"])


def _total(records: Sequence[dict[str, Any]], manifest: Manifest) -> int | None:
    if records:
        return shards_of(records[0]["file"])
    rows = manifest.options.get("shard_rows")
    return -(-manifest.input.rows // rows) if isinstance(rows, int) else None


def throughput_text(throughput: Throughput) -> str:
    """One line for people."""
    left = None if throughput.seconds_left is None else duration(throughput.seconds_left)
    parts = [f"{throughput.shards} of {throughput.total_shards or '?'} shards"]
    if throughput.locked_shards:
        parts.append(f"{throughput.locked_shards} being written now")
    if throughput.tokens_per_second:
        parts.append(f"{throughput.tokens_per_second:,.0f} response tokens/s")
    if left is not None and throughput.locked_shards:
        parts.append(f"done in about {left}")
    elif not throughput.locked_shards:
        parts.append("no process is writing" + (f"; about {left} are left" if left else ""))
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """`1 h 20 min`, `12 min`, `40 s`: two units, rounded up to the smaller one."""
    if seconds < 60:  # noqa: PLR2004
        return f"{max(1, round(seconds))} s"
    minutes = -int(-seconds // 60)
    hours, days = minutes // 60, minutes // 1440
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
