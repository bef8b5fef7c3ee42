"""Rows of Parquet files and of Arrow IPC files and streams. Rows before the first one requested are not decoded."""

from __future__ import annotations

from bisect import bisect_right
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from sepo_data.errors import SepoError, first_line
from sepo_data.readers.copy_limit import check_unpacked
from sepo_data.readers.materialized import cached_copy, content_key
from sepo_data.readers.rows import DataFile, Row, Table, python_rows, refuse_equal_columns
from sepo_data.readers.unpacked import ipc_sizes, longest_value, plain_bytes
from sepo_data.storage.cache import cached_fact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

BATCH_ROWS = 1000  # rows turned into Python objects at a time, at most
BATCH_BYTES = 16 << 20  # of their values in Arrow, about
REPEATED_BYTES = 512 << 20  # of a batch at most, however long the values are that its rows share
ODD_BYTES = 8 << 20  # of shared values; writers end a dictionary after 1 MiB
MAX_GROUP_ROWS = 50_000  # of a Parquet row group that is read from its first row to reach any of them


def read_parquet(file: DataFile, limit: int | None) -> Table:
    """The rows of a Parquet file. Parquet is read group by group, so larger groups are copied to an Arrow file once."""
    with _arrow_errors(file), pq.ParquetFile(file.path) as parquet:
        columns, facts = parquet.schema_arrow.names, parquet.metadata
    largest = max((facts.row_group(group).num_rows for group in range(facts.num_row_groups)), default=0)
    refuse_equal_columns(file.address, columns)
    if min(largest, limit or largest) <= MAX_GROUP_ROWS:
        return Table(tuple(columns), facts.num_rows, partial(_read, file, partial(_parquet_batches, file.address)))
    with _arrow_errors(file):
        name, size = f"{content_key([file.path])}.arrow", file.path.stat().st_size
        arrow = cached_copy(name, partial(_write_as_arrow, file), origin=file.address, packed=size, arrow=True)
    return read_arrow(replace(file, path=arrow), limit)


def read_arrow(file: DataFile, _limit: int | None) -> Table:
    """The rows of an Arrow IPC file or stream, which is mapped into memory."""
    with _arrow_errors(file):
        with pa.memory_map(str(file.path)) as mapped:
            columns = _open_ipc(mapped)[0]
        refuse_equal_columns(file.address, columns)
        lengths = cached_fact("rows of arrow", [file.path], partial(_checked_lengths, file))
    starts = tuple(accumulate(lengths, initial=0))
    return Table(tuple(columns), starts[-1], partial(_read, file, partial(_ipc_batches, starts)))


def _checked_lengths(file: DataFile) -> list[int]:
    """The rows of each batch. Using a damaged offset would end the process, so all offsets are validated before."""
    lengths = []
    with pa.memory_map(str(file.path)) as mapped:
        check_unpacked(sum(ipc_sizes(mapped)), file.address, mapped.size())
        mapped.seek(0)
        for batch in _open_ipc(mapped)[1]:
            batch.validate()  # that all columns have its number of rows
            for column in batch.columns:
                column.view(_as_bytes(column.type)).validate(full=True)
            lengths.append(batch.num_rows)
    return lengths


def _as_bytes(type_: pa.DataType) -> pa.DataType:
    """The type of equal memory layout with bytes for texts: a text that is not UTF-8 spoils its row, not the file."""
    if pa.types.is_string(type_):
        return pa.binary()
    if pa.types.is_large_string(type_):
        return pa.large_binary()
    if pa.types.is_struct(type_):
        return pa.struct([field.with_type(_as_bytes(field.type)) for field in type_])
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        inner = type_.value_field.with_type(_as_bytes(type_.value_type))
        return pa.list_(inner) if pa.types.is_list(type_) else pa.large_list(inner)
    return type_


def _read(
    file: DataFile, batches: Callable[[Path, int], Iterator[tuple[int, Any]]], start: int, stop: int
) -> Iterator[Row]:
    if start >= stop:
        return
    with _arrow_errors(file):
        for first, batch in batches(file.path, start):
            if first >= stop:
                return
            size = rows_at_once(plain_bytes(batch), batch.num_rows)
            for at in range(max(first, start), min(first + batch.num_rows, stop), size):
                part = batch.slice(at - first, min(size, stop - at))
                yield from python_rows(at, at + part.num_rows, partial(_values, part, at))


def _values(part: Any, first: int, start: int, stop: int) -> list[dict[str, object]]:  # noqa: ANN401 - pyarrow ships no types
    return cast("list[dict[str, object]]", part.slice(start - first, stop - start).to_pylist())


def rows_at_once(size: int, rows: int) -> int:
    """Rows to hold in memory at a time, of `rows` rows that take `size` bytes together."""
    return max(1, min(BATCH_ROWS, rows * BATCH_BYTES // max(size, 1)))


@contextmanager
def _arrow_errors(file: DataFile) -> Iterator[None]:
    """Make a SepoError of every failure of Arrow on a damaged file, whose lengths may be anything."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        if isinstance(error, MemoryError):
            raise SepoError(f"{file.address} cannot be read: it needs more memory than there is") from error
        raise SepoError(f"{file.address} cannot be read: {first_line(error)}") from error


def _parquet_batches(origin: str, path: Path, start: int) -> Iterator[tuple[int, Any]]:
    """Pairs (number of the first row, batch), from the row group that holds row `start`."""
    packed, odd = path.stat().st_size, 0
    # With a buffer, pages are read one by one; without, all pages of a column of the group at once.
    with pq.ParquetFile(path, buffer_size=1 << 20) as file, path.open("rb") as raw:
        first = 0
        for group in range(file.num_row_groups):
            facts = file.metadata.row_group(group)
            if first + facts.num_rows > start:
                at = first
                shared = longest_value(facts, raw)
                size = min(rows_at_once(facts.total_byte_size, facts.num_rows), max(1, REPEATED_BYTES // (shared or 1)))
                for batch in file.iter_batches(size, row_groups=[group]):
                    if shared > ODD_BYTES:
                        odd += plain_bytes(batch)
                        check_unpacked(odd, origin, packed)
                    yield at, batch
                    at += batch.num_rows
            first += facts.num_rows


def write_stream(schema: pa.Schema, batches: Iterable[Any], sink: BinaryIO) -> None:
    """Write an Arrow IPC stream: it may replace dictionaries midway. Uncompressed, to pass over rows unread."""
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write(batch)


def _write_as_arrow(file: DataFile, sink: BinaryIO) -> None:
    with pq.ParquetFile(file.path) as parquet:
        schema = parquet.schema_arrow
    write_stream(schema, (batch for _first, batch in _parquet_batches(file.address, file.path, 0)), sink)


def _ipc_batches(starts: Sequence[int], path: Path, start: int) -> Iterator[tuple[int, Any]]:
    """Pairs (number of the first row, batch), from the batch that holds row `start`. The file is mapped, not read."""
    with pa.memory_map(str(path)) as file:
        batch = bisect_right(starts, start) - 1
        yield from zip(starts[batch:], _open_ipc(file, batch)[1], strict=False)


def _open_ipc(file: Any, first: int = 0) -> tuple[list[str], Iterator[Any]]:  # noqa: ANN401 - pyarrow ships no types
    """Columns, and batches from number `first`, of an IPC file or stream; a file begins with a magic word."""
    magic = file.read(6)
    file.seek(0)
    if magic == b"ARROW1":
        reader = pa.ipc.open_file(file)
        return reader.schema.names, map(reader.get_batch, range(first, reader.num_record_batches))
    stream = pa.ipc.open_stream(file)
    return stream.schema.names, islice(iter(stream), first, None)
