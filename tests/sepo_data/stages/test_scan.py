"""The lazy frame over a stage dataset: equal to a plain read, and nothing is copied."""

import itertools
import subprocess
import sys

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from sepo_data.errors import SepoError
from sepo_data.readers.arrow_stream import map_stream
from sepo_data.stages.scan import scan
from sepo_data.stages.shards import Shard


@pytest.fixture
def folder(tmp_path, rewards_of, write_rewards):
    """Ten pairs in shards of 4, 0, 5 and 1; `margin` is the row number."""
    lengths = [4, 0, 5, 1]
    tables, first = [], 0
    for rows in lengths:
        pairs = [([float(row), 1.0], [1.0]) for row in range(first, first + rows)]
        table = rewards_of(pairs, first=first, messages=True) if pairs else tables[0].slice(0, 0)
        side = pa.array([{"n": row, "tags": ["a"] * row} for row in range(first, first + rows)])
        kind = pa.struct([("n", pa.int64()), ("tags", pa.list_(pa.string()))])
        names = [name for name in table.column_names if name != "side"]
        table = table.select(names).append_column("side", side.cast(kind) if pairs else pa.array([], kind))
        tables.append(table)
        first += rows
    write_rewards(tmp_path / "rewards", tables)
    return tmp_path / "rewards"


@pytest.fixture
def whole(folder):
    return pl.concat(
        pl.DataFrame(pl.from_arrow(pa.ipc.open_stream(file.read_bytes()).read_all()))
        for file in sorted(folder.glob("data-*.arrow"))
    )


def test_all_columns_equal_a_plain_read(folder, whole):
    frame = scan(folder)
    assert frame.collect_schema() == whole.schema
    assert_frame_equal(frame.collect(), whole)
    assert_frame_equal(scan(str(folder)).collect(engine="streaming"), whole)
    for name in whole.columns:
        assert_frame_equal(frame.select(name).collect(), whole.select(name))
    backwards = whole.columns[::-1]
    assert_frame_equal(frame.select(backwards).collect(), whole.select(backwards))
    assert frame.select(pl.len()).collect().item() == 10


SELECTIONS = [["margin"], ["side", "pair_id"], ["chosen_rewards"], ["prompt", "margin"]]
PREDICATES = [
    pl.col("margin") > 4,
    pl.col("margin") < 0,
    pl.col("pair_id") == f"{7:016x}",
    pl.col("side").struct.field("n").is_in([1, 8]),
    pl.col("chosen_rewards").list.max() >= 3,
    (pl.col("margin") > 2) & pl.col("oracle_seen"),
]


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_pushdown(folder, whole, engine):
    """Every order of projection, filter and head gives what the same query gives on a plain frame."""
    for columns, predicate in itertools.product(SELECTIONS, PREDICATES):
        for rows in (0, 1, 4, 6, 99):
            steps = {
                "select": lambda frame, columns=columns: frame.select(columns),
                "filter": lambda frame, predicate=predicate: frame.filter(predicate),
                "head": lambda frame, rows=rows: frame.head(rows),
            }
            for order in (("filter", "select"), ("head", "filter", "select"), ("filter", "head", "select")):
                ours, plain = scan(folder), whole.lazy()
                for step in order:
                    ours, plain = steps[step](ours), steps[step](plain)
                assert_frame_equal(ours.collect(engine=engine), plain.collect())


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_other_queries(folder, whole, engine):
    def queries(frame):
        yield frame.with_row_index("row").filter(pl.col("row") == 5)
        yield frame.with_row_index("row").filter(pl.col("margin") > 2).select("row")
        yield frame.with_row_index("row").select("row")
        yield frame.tail(3).select("margin")
        yield frame.slice(3, 4).select("pair_id")
        yield frame.slice(2).filter(pl.col("margin") > 4).head(2)
        yield frame.group_by("oracle_seen").agg(pl.col("margin").sum()).sort("oracle_seen")
        yield frame.select(pl.col("chosen_rewards").explode().sum())
        yield frame.sort("margin", descending=True).head(2).select("side")
        yield frame.join(frame.filter(pl.col("margin") < 3).select("pair_id"), on="pair_id", how="semi")

    for ours, plain in zip(queries(scan(folder)), queries(whole.lazy()), strict=True):
        assert_frame_equal(ours.collect(engine=engine), plain.collect())


def test_columns_that_are_not_asked_for_are_not_read(folder, monkeypatch):
    """Projection, predicate columns included, is passed down; a head stops before the later shards are read."""
    read, table = [], Shard.table

    def spying_table(shard, columns=None):
        read.append((shard.file.name[:10], sorted(columns)))
        return table(shard, columns)

    monkeypatch.setattr(Shard, "table", spying_table)
    scan(folder).filter(pl.col("margin") >= 0).select("pair_id").collect(engine="in-memory")
    assert read == [(f"data-0000{number}", ["margin", "pair_id"]) for number in range(4)]
    read.clear()
    frame = scan(folder).select("pair_id").head(3)
    assert read == []
    frame.collect(engine="in-memory")
    assert read == [("data-00000", ["pair_id"])]


def test_a_shard_that_is_missing_or_cut(folder):
    file = sorted(folder.glob("*.arrow"))[2]
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"not arrow at all", whole[:-9]):
        file.write_bytes(damaged)
        for verify in (True, False):
            with pytest.raises(SepoError, match=f"is damaged: {file.name} is cut"):
                scan(folder, verify=verify)
    file.unlink()
    with pytest.raises(SepoError, match=f"is damaged: {file.name} is missing"):
        scan(folder)


def test_a_shard_cut_between_two_batches(tmp_path, rewards_of, write_rewards):
    """Arrow takes the end of a file for the end of the stream, so only its closing mark tells that rows are gone."""
    write_rewards(tmp_path / "rewards", [rewards_of([([1.0], [1.0])] * 1500)])
    [file] = (tmp_path / "rewards").glob("*.arrow")
    with pa.OSFile(str(file)) as source, pa.ipc.open_stream(source) as reader:
        assert reader.read_next_batch().num_rows == 1000
        end = source.tell()
    file.write_bytes(file.read_bytes()[:end])
    assert pa.ipc.open_stream(file.read_bytes()).read_all().num_rows == 1000
    with pytest.raises(SepoError, match="it ends before its last row"):
        map_stream(file)


MEMORY = """
import sys
from pathlib import Path
import numpy as np
import polars as pl
import pyarrow as pa
from sepo_data.schemas.manifest import InputRecord, Manifest
from sepo_data.schemas.stages import Stage, stage_schema
from sepo_data.stages.scan import scan
from sepo_data.stages.writer import open_stage

ROWS, TOKENS, SHARDS = 250, 5000, 10  # 8 columns x 250 x 5000 x 4 bytes x 10 shards = 400 MB of list values

def anonymous():
    '''Memory of our own in MB. Pages of mapped files (RssFile) are page cache, which the kernel drops when it likes.'''
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024

def column(field):
    if pa.types.is_large_list(field.type):
        values = np.ones(ROWS * TOKENS, dtype=field.type.value_type.to_pandas_dtype())
        return pa.LargeListArray.from_arrays(np.arange(ROWS + 1) * TOKENS, values)
    if pa.types.is_string(field.type):
        return pa.array([str(row) for row in range(ROWS)])
    lengths = {"prompt_tokens": 1, "chosen_tokens": TOKENS, "rejected_tokens": TOKENS}
    return pa.array([lengths.get(field.name, row % 2) for row in range(ROWS)]).cast(field.type)

folder = Path(sys.argv[1]) / "rewards"
schema = stage_schema(Stage.REWARDS, conversational=False)
short = pa.LargeListArray.from_arrays(np.arange(ROWS + 1), np.ones(ROWS, dtype=np.int32))
table = pa.table([short if f.name == "prompt_ids" else column(f) for f in schema], schema=schema)
plan = Manifest(stage=Stage.REWARDS, input=InputRecord(name="", fingerprint="", rows=0))
stage = open_stage(folder, plan, shards=SHARDS)
for index in range(SHARDS):
    stage.write_shard(index, table)
stage.finish(seconds=0)
assert sum(file.stat().st_size for file in folder.glob("data-*")) > 400e6
del table, short, stage

frame = scan(folder)
frame.select(pl.len()).collect()  # Polars starts its threads
before = anonymous()
rows = scan(folder).filter(pl.col("margin") > 0).select(pl.len()).collect().item()
assert rows == ROWS * SHARDS / 2, rows
query = anonymous() - before
whole = scan(folder).collect()  # every column of every shard, still only mapped
total = 0
for name in ("chosen_ids", "chosen_rewards", "rejected_ref_logps"):
    for part in whole[name].get_chunks():
        total += part.explode().to_numpy(allow_copy=False).sum()
assert total == 3 * ROWS * TOKENS * SHARDS, total
print(query, anonymous() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_value_is_copied(tmp_path):
    run = subprocess.run([sys.executable, "-c", MEMORY, tmp_path], capture_output=True, text=True, check=False)
    for file in tmp_path.rglob("*.arrow"):
        file.unlink()
    assert run.returncode == 0, run.stderr
    query, touched = map(float, run.stdout.split())
    assert query < 30, f"a query over one small column took {query:.0f} MB"
    assert touched < 60, f"touching the lists of a 400 MB dataset took {touched:.0f} MB"
