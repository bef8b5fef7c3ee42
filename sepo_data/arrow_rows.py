"""Rows of Parquet files and of Arrow IPC files and streams. Rows before the first one asked for are not decoded."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import SepoError
from sepo_data.rows import Row, Table, python_rows, refuse_twins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BATCH_ROWS = 1000  # rows turned into Python objects at a time


def read_parquet(path: Path) -> Table:
    with _damage_named(path), pq.ParquetFile(path) as file:
        columns, rows = file.schema_arrow.names, file.metadata.num_rows
    return _table(path, columns, rows, _parquet_batches)


def read_arrow(path: Path) -> Table:
    with _damage_named(path), pa.memory_map(str(path)) as file:
        columns, batches = _open_ipc(file)
        rows = sum(batch.num_rows for batch in batches)
    return _table(path, columns, rows, _ipc_batches)


def _table(
    path: Path, columns: list[str], rows: int, batches: Callable[[Path, int], Iterator[tuple[int, Any]]]
) -> Table:
    refuse_twins(str(path), columns)

    def read(start: int, stop: int) -> Iterator[Row]:
        with _damage_named(path):
            for first, batch in batches(path, start):
                if first >= stop:
                    return
                for at in range(max(first, start), min(first + batch.num_rows, stop), BATCH_ROWS):
                    part = batch.slice(at - first, min(BATCH_ROWS, stop - at))
                    yield from python_rows(at, at + part.num_rows, partial(_values, part, at))

    return Table(tuple(columns), rows, read)


def _values(part: Any, first: int, start: int, stop: int) -> list[dict[str, object]]:  # noqa: ANN401 - pyarrow ships no types
    return cast("list[dict[str, object]]", part.slice(start - first, stop - start).to_pylist())


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise SepoError(f"{path} cannot be read: {error}") from error


def _parquet_batches(path: Path, start: int) -> Iterator[tuple[int, Any]]:
    """(number of its first row, batch), from the row group that holds row `start`."""
    with pq.ParquetFile(path) as file:
        first = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if first + rows > start:
                at = first
                for batch in file.iter_batches(BATCH_ROWS, row_groups=[group]):
                    yield at, batch
                    at += batch.num_rows
            first += rows


def _ipc_batches(path: Path, _start: int) -> Iterator[tuple[int, Any]]:
    """(number of its first row, batch). The file is mapped: a batch that is passed over is not read."""
    with pa.memory_map(str(path)) as file:
        first = 0
        for batch in _open_ipc(file)[1]:
            yield first, batch
            first += batch.num_rows


def _open_ipc(file: Any) -> tuple[list[str], Iterator[Any]]:  # noqa: ANN401 - pyarrow ships no types
    """Columns and batches of either IPC format: files open with a magic word, streams do not."""
    magic = file.read(6)
    file.seek(0)
    if magic == b"ARROW1":
        reader = pa.ipc.open_file(file)
        return reader.schema.names, map(reader.get_batch, range(reader.num_record_batches))
    stream = pa.ipc.open_stream(file)
    return stream.schema.names, iter(stream)
