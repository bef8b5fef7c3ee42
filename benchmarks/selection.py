"""Selection: tokens a second of the mask, from disk to a finished dataset, ten selections at once, and memory.

    python benchmarks/selection.py                  # 60,000 pairs, 36M tokens, 0.8 GB in a temporary folder
    python benchmarks/selection.py --pairs 6000

Lengths are lognormal with a mean of 300 and a median of 230 tokens, as UltraFeedback's answers have them. The mask is
the top 30% of chosen and the bottom 30% of rejected, exactly, ties included; every way that is timed has to give it:

- sepo: `mask_columns`, one sort a response, one thread.
- Polars, rank: `list.eval(rank("ordinal"))`.
- Polars, quantile: a quantile and a comparison; exact only without ties, so its mask is not checked.
- DuckDB: `row_number()` over the unnested tokens, in one partition a response.
- pandas: `explode` and `groupby.rank(method="first")`, from a column of arrays that was made beforehand.
- argmax: the k best of a response one after the other, in Python.

The slow ones run on a part of the rows. `end to end` is `select` with checks, checksums and flushes to disk, against
reading and writing the same files, flushed too. `memory` selects in a process of its own whose heap is limited
(RLIMIT_DATA) to less than the dataset has bytes; `anonymous` is the peak of what is not backed by a file.

Measured on two cores with polars 2, 60,000 pairs and 36M tokens:

- The mask: 115.8M tokens/s. Polars' quantile takes 1.2 times as long, its rank 6.7 times, DuckDB's window 34 times, the
  argmax loop 464 times. pandas takes 65.6 times as long, where it explodes the column of lists; from flat columns that
  were made beforehand it takes about 41 times as long.
- Ten selections made together cost 2.6 times one's mask.
- End to end: 2.19 s, 1.47 times the 1.49 s of copying the same 787 MB.
- Memory: 110 MB anonymous for 79 MB of rewards and 118 MB for 787 MB, under a heap limit of 450 MB.

The file is not called select.py: `python benchmarks/select.py` puts its folder first in the path of imports, where it
would stand for the standard library's `select`.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from random_rewards import SHARD, VOCABULARY, build

from sepo_data.schemas.stages import SIDES
from sepo_data.selection.quota import Quota
from sepo_data.selection.rules.top import top
from sepo_data.selection.select import select
from sepo_data.selection.selection import Selection, mask_columns
from sepo_data.stages.scan import scan

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MEAN, SPREAD = 300, 0.73
RUNS = 3
SHARE = 3000

WINDOW = """
SELECT response, list(rank <= greatest(1, n * 3 // 10) ORDER BY position) AS mask FROM (
  SELECT response, position, n, row_number() OVER (PARTITION BY response ORDER BY reward DESC, position) AS rank
  FROM (
    SELECT response, len(rewards) AS n, UNNEST(rewards) AS reward, UNNEST(range(len(rewards))) AS position FROM sides
  )
) GROUP BY response ORDER BY response
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="selection: sepo and its peers")
    parser.add_argument("--pairs", type=int, default=60_000)
    parser.add_argument("--folder", type=Path, help="where to put the files; a temporary folder by default")
    parser.add_argument("--selecting", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--heap", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.selecting:
        select_within(given.selecting, given.heap)
        return
    folder = Path(tempfile.mkdtemp(prefix="sepo-benchmark-", dir=given.folder))
    try:
        tokens = build(folder / "rewards", given.pairs, lengths=lengths, ids=ids)
        print(f"{tokens / 1e6:.1f}M tokens, {pl.thread_pool_size()} threads, load {os.getloadavg()[0]:.1f}")
        print(
            f"polars {pl.__version__}, numpy {np.__version__}, duckdb {duckdb.__version__}, pandas {pd.__version__}\n"
        )
        masks(folder / "rewards")
        end_to_end(folder)
        memory(folder, given.pairs)
    finally:
        shutil.rmtree(folder)


def lengths(rng: np.random.Generator, rows: int) -> NDArray[np.int64]:
    return np.clip(rng.lognormal(np.log(MEAN) - SPREAD**2 / 2, SPREAD, rows), 1, 2048).astype(np.int64)


def ids(rng: np.random.Generator, tokens: int) -> NDArray[np.int32]:
    return rng.integers(0, VOCABULARY, tokens, dtype=np.int32)


def masks(folder: Path) -> None:
    """Time each way to the masks in memory, and check that they agree."""
    columns = sorted(Selection().columns())
    batches = scan(folder).select(columns).collect().iter_slices(SHARD)
    shards = [batch.rechunk() for batch in batches]
    whole = pl.concat(shards).rechunk()
    rewards = pl.concat([whole["chosen_rewards"], whole["rejected_rewards"].list.eval(-pl.element())]).rechunk()
    expected = rewards.to_frame("r").select(_rank("r"))["r"]
    few = rewards.head(max(1, len(rewards) // 20))
    lists = pd.DataFrame({"reward": few.to_arrow().to_pandas()})
    everything, some = (int(each.list.len().sum()) for each in (rewards, few))

    def sepo(selections: list[Selection]) -> list[list[pl.DataFrame]]:
        return [mask_columns(rows, selections) for rows in shards]

    def together(made: list[list[pl.DataFrame]]) -> pl.Series:
        return pl.concat([of_shard[0][f"{side}_mask"] for side in SIDES for of_shard in made])

    one = [Selection(top("30%"))]
    ten = [Selection(top(f"{share}%")) for share in (30, 5, 10, 15, 20, 25, 40, 50, 60, 80)]
    ways: dict[str, tuple[int, int, Callable[[], Any]]] = {
        "sepo": (everything, RUNS, lambda: sepo(one)),
        "sepo, ten selections": (everything, RUNS, lambda: sepo(ten)),
        "Polars, rank": (everything, 1, lambda: rewards.to_frame("r").select(_rank("r"))["r"]),
        "Polars, quantile": (everything, RUNS, lambda: _quantile(rewards)),
        "DuckDB, window": (some, 1, lambda: _window(few)),
        "pandas, rank": (some, 1, lambda: _pandas(lists)),
        "argmax loop": (some, 1, lambda: _argmax(few)),
    }
    speeds = {}
    print(f"{'mask':24}{'Mtokens/s':>11}{'sepo is x times faster':>24}")
    for name, (tokens, runs, way) in ways.items():
        made = way()
        made = together(made) if isinstance(made, list) else made
        if made is not None and not made.equals(expected.head(len(made))):
            raise RuntimeError(f"{name} gives another mask")
        speeds[name] = tokens / statistics.median(_seconds(way) for _ in range(runs))
        print(f"{name:24}{speeds[name] / 1e6:11.2f}{speeds['sepo'] / speeds[name]:24.1f}")


def _rank(name: str) -> pl.Expr:
    quota = (pl.element().len().cast(pl.Int64) * SHARE // 10_000).clip(lower_bound=1)
    return pl.col(name).list.eval(pl.element().rank("ordinal", descending=True) <= quota)


def _quantile(rewards: pl.Series) -> None:
    rewards.list.eval(pl.element() >= pl.element().quantile(1 - SHARE / 10_000, "lower"))


def _window(rewards: pl.Series) -> pl.Series:
    connection = duckdb.connect()
    connection.execute(f"SET threads = {pl.thread_pool_size()}")
    sides = pa.table({"response": pa.array(range(len(rewards))), "rewards": rewards.to_arrow()})
    connection.register("sides", sides)
    return pl.Series(pl.DataFrame(connection.sql(WINDOW).to_arrow_table())["mask"])


def _pandas(lists: pd.DataFrame) -> pl.Series:
    flat = lists.explode("reward")["reward"].astype("float32")
    groups = flat.groupby(level=0, sort=False)
    lengths = groups.size().to_numpy()
    quotas = Quota(basis_points=SHARE).k_of(lengths)
    mask = groups.rank(method="first", ascending=False).to_numpy() <= np.repeat(quotas, lengths)
    bits, offsets = pa.array(mask), pa.array(np.concatenate([[0], np.cumsum(lengths)]))
    return pl.Series(pl.from_arrow(pa.LargeListArray.from_arrays(offsets, bits)))


def _argmax(rewards: pl.Series) -> pl.Series:
    made = []
    for row in rewards.to_list():
        left, mask = list(row), [False] * len(row)
        for _ in range(max(1, len(row) * SHARE // 10_000)):
            place = left.index(max(left))
            left[place], mask[place] = -np.inf, True
        made.append(mask)
    return pl.Series(made, dtype=pl.List(pl.Boolean))


def end_to_end(folder: Path) -> None:
    """From disk to a finished dataset, against copying the files."""
    files = sorted((folder / "rewards").glob("*.arrow"))
    size = sum(file.stat().st_size for file in files)

    def copy() -> None:
        (folder / "copy").mkdir()
        for file in files:
            with file.open("rb") as source, (folder / "copy" / file.name).open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
                sink.flush()
                os.fsync(sink.fileno())

    ways = {"copy": copy, "selection": lambda: select(folder / "rewards", folder / "selection")}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(RUNS):
        for name, way in ways.items():
            seconds[name].append(_seconds(way))
            shutil.rmtree(folder / name)
    copied, selected = (statistics.median(seconds[name]) for name in ways)
    print(f"\n{'end to end':24}{'seconds':>11}{'copies':>24}")
    print(f"{f'copying {size / 1e6:,.0f} MB':24}{copied:11.2f}{1.0:24.2f}")
    print(f"{'sepo select':24}{selected:11.2f}{selected / copied:24.2f}")


def memory(folder: Path, pairs: int) -> None:
    """Peak memory of a process that selects a tenth of the rows, and all of them."""
    build(folder / "tenth" / "rewards", max(SHARD, pairs // 10), lengths=lengths, ids=ids)
    (folder / "all").mkdir()
    (folder / "rewards").rename(folder / "all" / "rewards")
    print(f"\n{'memory':24}{'MB on disk':>11}{'MB anonymous':>14}{'MB heap limit':>15}")
    for name in ("tenth", "all"):
        where = folder / name
        size = sum(file.stat().st_size for file in sorted((where / "rewards").glob("*.arrow")))
        limit = 450_000_000
        command = [sys.executable, __file__, "--selecting", str(where), "--heap", str(limit)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own file
        print(f"{name:24}{size / 1e6:11,.0f}{int(done.stdout) / 1e6:14,.0f}{limit / 1e6:15,.0f}")


def select_within(folder: Path, heap: int) -> None:
    """Select with so many bytes of heap at most, and print the peak of anonymous memory."""
    resource.setrlimit(resource.RLIMIT_DATA, (heap, heap))
    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.005):
            status = Path("/proc/self/status").read_text(encoding="ascii")
            peak = max(peak, int(status.split("RssAnon:")[1].split()[0]) * 1024)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        select(folder / "rewards", folder / "selection")
    finally:
        over.set()
        watcher.join()
    print(peak)


def _seconds(way: Callable[[], object]) -> float:
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
