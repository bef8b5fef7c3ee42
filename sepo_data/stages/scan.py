"""Open a stage dataset as a Polars LazyFrame over the memory-mapped shards, without copying their values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from sepo_data.checked import checked
from sepo_data.schemas.stages import Stage
from sepo_data.stages.directory import read_stage
from sepo_data.stages.shards import read_shards
from sepo_data.storage.download import fetched
from sepo_data.storage.location import is_remote, location

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sepo_data.stages.shards import Shard


@checked()
def scan(path: str | Path, *, verify: bool = True) -> pl.LazyFrame:
    """Map every shard of the stage dataset at `path`; columns that a query does not use are never touched.

    The shards are Arrow IPC streams, which `polars.scan_ipc` refuses, so each is memory-mapped by pyarrow and yielded
    batch by batch. Streams: yes, one shard at a time.

    Args:
        path: a rewards or selection directory.
        verify: compare the hash of each shard with the manifest, once until the file changes.

    Raises:
        SepoError: `path` is not a complete dataset, or a file of it is not what the manifest says.
    """
    folder = fetched_stage(path)
    return scan_shards(read_shards(folder, read_stage(folder, Stage.REWARDS, Stage.SELECTION), verify=verify))


def scan_shards(shards: Sequence[Shard]) -> pl.LazyFrame:
    """As `scan`, of the data files `shards`, one or more: those of an unfinished dataset, for example."""
    # Not `schema.empty_table()`, which imports pandas where that is installed.
    schema = dict(pl.DataFrame(pa.Table.from_batches([], schema=shards[0].schema())).schema)

    def frames(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        left = rows
        for shard in shards:
            if left is not None and left <= 0:
                return
            frame = shard.frame(columns)
            if left is not None:
                frame = frame.head(left)
                left -= frame.height
            yield frame.filter(predicate) if predicate is not None else frame

    return register_io_source(frames, schema=schema, is_pure=True, explain_name="sepo")


def fetched_stage(path: str | Path) -> Path:
    """The stage directory `path`; of one in a store, a copy on this machine, made once it is complete."""
    found = location(path)
    if is_remote(found):
        read_stage(found, Stage.REWARDS, Stage.SELECTION)
    return fetched(found, recursive=True)
