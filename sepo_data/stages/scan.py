"""Open a stage dataset as a Polars LazyFrame over the memory-mapped shards, without copying their values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from sepo_data.errors import SepoError
from sepo_data.schemas.stages import Stage
from sepo_data.stages.directory import STATE, read_stage
from sepo_data.storage.download import fetched
from sepo_data.storage.location import is_remote, location

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
"""The last bytes of an Arrow stream. Arrow accepts a file without them, however many batches are cut away."""


def scan(path: str | Path) -> pl.LazyFrame:
    """Map every shard of the stage dataset at `path`; columns that a query does not use are never touched.

    The shards are Arrow IPC streams, which `polars.scan_ipc` refuses, so each is memory-mapped by pyarrow and yielded
    batch by batch. Streams: yes, one shard at a time. Raises `SepoError` where `path` is not a complete dataset.
    """
    folder = fetched_stage(path)
    read_stage(folder, Stage.REWARDS, Stage.SELECTION)
    files = shard_files(folder)
    # Not `schema.empty_table()`, which imports pandas where that is installed.
    schema = dict(pl.DataFrame(pa.Table.from_batches([], schema=open_shard(files[0]).schema)).schema)

    def frames(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        left = rows
        for file in files:
            if left is not None and left <= 0:
                return
            table = open_shard(file)
            # Projecting before the conversion is what keeps the unused columns unread.
            frame = pl.DataFrame(pl.from_arrow(table.select(columns) if columns is not None else table, rechunk=False))
            if columns == []:  # a row index alone needs the number of rows
                frame = pl.DataFrame(height=table.num_rows)
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


def shard_files(folder: Path) -> list[Path]:
    """The data files that `state.json` names, in order."""
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    return [folder / entry["filename"] for entry in state["_data_files"]]


def open_shard(file: Path) -> pa.Table:
    """Memory-map one shard; the table's buffers point into the file."""
    try:
        # The table keeps the map alive; closing it here would pull the pages away from under it.
        pages = pa.memory_map(str(file))
        table = pa.ipc.open_stream(pages).read_all()
        end = pages.read_at(len(END_OF_STREAM), pages.size() - len(END_OF_STREAM))
        problem = "" if end == END_OF_STREAM else "it ends before its last row"
    except (OSError, pa.ArrowInvalid) as error:
        problem = str(error)
    if problem:
        raise SepoError(f"{file} cannot be read: {problem}", "delete the directory and write it again")
    return table
