"""A group by token id over the tokens of a rewards dataset, against DuckDB on the same Arrow data.

    python benchmarks/query.py                  # 60,000 pairs of 2 x 300 tokens: 36M tokens, 0.8 GB on the disk
    python benchmarks/query.py --pairs 6000

The query is `SELECT token_id, AVG(reward) FROM tokens GROUP BY token_id`. Both engines read the mapped shards,
whose rewards are lists of a pair; DuckDB takes them apart with UNNEST. The rows of the table:

- sepo, `tokens`: the token view, as `sepo query` runs it.
- sepo, `vocabulary`: the table of sepo that answers the same query from arrays that the token ids index.
- Polars, flat: the same group by over two flat columns that were made beforehand; nothing is taken apart.
- DuckDB, lists: UNNEST of the same shards, the same work as that of `sepo query`.
- DuckDB, flat: the same two flat columns.

Measured alone with 36M tokens on two cores:

                         seconds   CPU s   DuckDB, lists = 1
    sepo, `tokens`         0.599    1.09                0.78
    sepo, `vocabulary`     0.304    0.33                1.53
    Polars, flat           0.466                        1.00
    DuckDB, lists          0.466                        1.00
    DuckDB, flat           0.455                        1.02

`tokens` cannot be three times as fast as DuckDB: Polars' group by over flat columns takes as long as all of DuckDB's
work, and Polars runs the same group by for `tokens`. The difference is 0.133 s, in which no value is copied; without
it `tokens` would be level with DuckDB. Tried on the group by, in processor time on a shared machine: the in-memory
engine is 1.5 times slower, one group by a shard and then one over all 2 times; `token_id` as UInt16 changes nothing,
as an enumeration it would save a quarter, but could not be compared with a number. Feeding the group by 100,000 rows
at a time instead of a shard's 600,000 saves a fifth, and is done.

`vocabulary` takes half the time of `tokens` and a third of its processor time. It hashes nothing: a token id is its
place in an array of sums. It runs on one core, where both engines use all, so by the clock its lead shrinks with every
further core; the printed table has both.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
from random_rewards import build, ids_as_in_text, lengths_of

from sepo_data.analysis.query import query
from sepo_data.analysis.tokens import tokens
from sepo_data.readers.arrow_stream import map_stream
from sepo_data.stages.scan import scan

if TYPE_CHECKING:
    from collections.abc import Callable


RESPONSE, RUNS = 300, 3

SQL = "SELECT token_id, AVG(reward) AS reward FROM tokens GROUP BY token_id"
DENSE = "SELECT token_id, mean_reward AS reward FROM vocabulary"
UNNEST = """
SELECT token_id, AVG(reward) AS reward FROM (
  SELECT UNNEST(chosen_ids) AS token_id, UNNEST(chosen_rewards) AS reward FROM pairs
  UNION ALL
  SELECT UNNEST(rejected_ids) AS token_id, UNNEST(rejected_rewards) AS reward FROM pairs
) GROUP BY token_id
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="group by token id: sepo and DuckDB")
    parser.add_argument("--pairs", type=int, default=60_000)
    pairs = parser.parse_args().pairs
    folder = Path(tempfile.mkdtemp(prefix="sepo-benchmark-"))
    try:
        build(folder / "rewards", pairs, lengths=lengths_of(RESPONSE), ids=ids_as_in_text)
        compare(folder / "rewards", pairs)
    finally:
        shutil.rmtree(folder)


def compare(folder: Path, pairs: int) -> None:
    """Time each way to the answer, check that they agree, and print a table."""
    connection = duckdb.connect()
    threads = pl.thread_pool_size()
    connection.execute(f"SET threads = {threads}")
    connection.register("pairs", pa.concat_tables([map_stream(file) for file in sorted(folder.glob("*.arrow"))]))
    flat = scan(folder).pipe(tokens).select("token_id", "reward").collect().rechunk()
    arrow = flat.to_arrow()
    connection.register("flat", arrow)
    flat_context = pl.SQLContext({"tokens": flat.lazy()})
    ways: dict[str, Callable[[], pl.DataFrame]] = {
        "sepo, `tokens`": lambda: query(SQL, {"pairs": folder}).collect(),
        "sepo, `vocabulary`": lambda: query(DENSE, {"pairs": folder}).collect(),
        "Polars, flat": lambda: flat_context.execute(SQL).collect(),
        "DuckDB, lists": lambda: pl.DataFrame(connection.sql(UNNEST).to_arrow_table()),
        "DuckDB, flat": lambda: pl.DataFrame(connection.sql(SQL.replace("tokens", "flat")).to_arrow_table()),
    }
    count = 2 * RESPONSE * pairs
    print(f"{count / 1e6:.1f}M tokens, {threads} threads, load {os.getloadavg()[0]:.1f}, median of {RUNS} runs")
    print(f"polars {pl.__version__}, pyarrow {pa.__version__}, duckdb {duckdb.__version__}\n")
    taken: dict[str, tuple[float, float]] = {}
    answers = {name: way().sort("token_id") for name, way in ways.items()}  # brings the files into the page cache
    for name, way in ways.items():
        if not np.allclose(answers[name]["reward"], answers["DuckDB, lists"]["reward"], atol=1e-5):
            raise RuntimeError(f"{name} gives another answer")
        runs = [_seconds(way) for _ in range(RUNS)]
        taken[name] = (statistics.median(wall for wall, _ in runs), statistics.median(cpu for _, cpu in runs))
    print(f"{'':20}{'seconds':>9}{'CPU s':>7}{'Mtokens/s':>11}{'DuckDB, lists = 1':>19}{'DuckDB, flat = 1':>18}")
    for name, (wall, cpu) in taken.items():
        lists, plain = taken["DuckDB, lists"][0] / wall, taken["DuckDB, flat"][0] / wall
        print(f"{name:20}{wall:9.3f}{cpu:7.2f}{count / wall / 1e6:11.0f}{lists:19.2f}{plain:18.2f}")


def _seconds(way: Callable[[], object]) -> tuple[float, float]:
    """Wall clock and processor seconds of one run."""
    wall, cpu = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
