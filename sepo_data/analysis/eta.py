"""How far an unfinished dataset is, how fast it grows, and when it will be whole."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sepo_data.stages.directory import RECORDS, shard_entries, shards_of
from sepo_data.storage.locks import seems_held

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sepo_data.schemas.manifest import Manifest

RECENT = 3600.0
"""Seconds before the last shard was finished that the speed is measured over."""


@dataclass(frozen=True)
class Pace:
    """An unfinished dataset at one moment."""

    shards: int
    of: int | None  # None before the first shard, where the plan does not tell
    held: int  # shards that are being written
    tokens_per_second: float | None  # of responses; None where no shard says how long it took
    seconds_left: float | None  # from now, if as many go on as did


def read_pace(folder: Path, manifest: Manifest) -> Pace:
    """The pace of the unfinished dataset in `folder`."""
    entries = shard_entries(folder)
    records = [entry["record"] for entry in entries]
    total = _total(records, manifest)
    there = {record["file"].split("-")[1] for record in records}
    held = sum(lock.stem not in there and seems_held(lock) for lock in (folder / RECORDS).glob("[0-9]*.lock"))
    speed = tokens_per_second(entries)
    left = None
    if speed and total:
        tokens = sum(_tokens(record) for record in records) / len(records) * (total - len(records))
        begun = max(0.0, time.time() - max(entry["ended"] for entry in entries)) if held else 0.0
        left = max(0.0, tokens / speed - begun)
    return Pace(len(records), total, held, speed, left)


def tokens_per_second(entries: Sequence[dict[str, Any]], recent: float = RECENT) -> float | None:
    """Response tokens over the time in which anybody worked: the union of the shards' intervals.

    Any number of processes may have written them; a pause between two runs does not count.

    Args:
        entries: of `shard_entries`, in any order.
        recent: only those that ended in this time before the last one, and only this part of their intervals.
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


def pace_text(pace: Pace) -> str:
    """One line for people."""
    parts = [f"{pace.shards} of {pace.of or '?'} shards"]
    if pace.held:
        parts.append(f"{pace.held} being written now")
    if pace.tokens_per_second:
        parts.append(f"{pace.tokens_per_second:,.0f} response tokens/s")
    if pace.seconds_left is not None and pace.held:
        parts.append(f"done in about {duration(pace.seconds_left)}")
    elif not pace.held:
        parts.append("nobody is writing" + _once_more(pace))
    return ", ".join(parts)


def _once_more(pace: Pace) -> str:
    return "" if pace.seconds_left is None else f"; about {duration(pace.seconds_left)} are left"


def duration(seconds: float) -> str:
    """`1 h 20 min`, `12 min`, `40 s`: two units, rounded up to the smaller one."""
    if seconds < 60:  # noqa: PLR2004
        return f"{max(1, round(seconds))} s"
    minutes = -int(-seconds // 60)
    hours, days = minutes // 60, minutes // 1440
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
