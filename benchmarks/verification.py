"""Verification: the time that `select` takes with the hashes of its input compared, and without.

    python benchmarks/verification.py               # 20,000 pairs, 12M tokens, 263 MB in 10 and in 79 shards

A run is one `select` of the whole directory, flushed to disk, in which this process remembers nothing of earlier ones:

- unchecked: nothing is compared, not even names and sizes.
- first read: no hash is known, so every file is read once for its hash.
- later read: the hashes are in the cache folder, and the files have not changed since.
- --no-verify: no hash is compared; every offset and text of the shards is validated instead.

The four ways take turns, and the numbers are medians, so that what else the machine does falls on all of them. The
percentage is that of CPU time: a part of the other is waiting for the disk, which no way changes.

Measured on two cores with other work on them (load 10), medians of 3 runs, seconds of CPU:

- 10 shards: unchecked 0.703, first read 0.934, later read 0.696 (-1.0%), --no-verify 0.779.
- 79 shards: unchecked 1.871, first read 2.215, later read 1.753 (-6.3%), --no-verify 1.889.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from unittest.mock import patch

import random_rewards
from selection import ids, lengths

from sepo_data.selection.select import select
from sepo_data.stages import shards
from sepo_data.storage import cache

SHARDS = (2048, 256)
"""Pairs in a shard: 27 MB and 3.4 MB, of which no hash is remembered by itself."""


def main() -> None:
    parser = argparse.ArgumentParser(description="select with and without verification")
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to put the files; a temporary folder by default")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sepo-benchmark-", dir=given.folder))
    os.environ["SEPO_CACHE"] = str(folder / "cache")
    try:
        for size in SHARDS:
            with patch.object(random_rewards, "SHARD", size):
                random_rewards.build(folder / "rewards", given.pairs, lengths=lengths, ids=ids)
            time.sleep(cache.SETTLED_SECONDS)  # younger files are hashed each time
            measure(folder, given.runs)
            shutil.rmtree(folder / "rewards")
    finally:
        shutil.rmtree(folder)


def measure(folder: Path, runs: int) -> None:
    """Print the median seconds of each way to read `folder / "rewards"`."""
    files = list((folder / "rewards").glob("*.arrow"))
    ways = {
        "unchecked": unchecked,
        "first read": first_read,
        "later read": partial(select),
        "--no-verify": partial(select, verify=False),
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            cache._digests.clear()  # noqa: SLF001 - as in a new process
            start, used = time.perf_counter(), time.process_time()
            way(folder / "rewards", folder / "selection")
            taken[name].append((time.perf_counter() - start, time.process_time() - used))
            shutil.rmtree(folder / "selection")
    size = sum(file.stat().st_size for file in files)
    print(f"{len(files)} shards, {size / 1e6:,.0f} MB, load {os.getloadavg()[0]:.1f}")
    medians = {
        name: [statistics.median(column) for column in zip(*times, strict=True)] for name, times in taken.items()
    }
    least = medians["unchecked"][1]
    for name, (seconds, used) in medians.items():
        print(f"  {name:<14}{seconds:8.3f} s{used:8.3f} s of CPU{used / least - 1:+9.1%}")


def unchecked(rewards: Path, out: Path) -> None:
    with (
        patch.object(shards, "shard_faults", lambda *_arguments, **_options: []),
        patch.object(shards, "file_fault", lambda *_arguments, **_options: ""),
    ):
        select(rewards, out)


def first_read(rewards: Path, out: Path) -> None:
    shutil.rmtree(cache.cache_folder(), ignore_errors=True)
    select(rewards, out)


if __name__ == "__main__":
    main()
