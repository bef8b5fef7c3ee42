"""Bytes that packed Arrow data unpack to, read from headers before anything is unpacked."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER_BYTES = 24  # of a page in Parquet; its kind and its size come first
SIZE_BYTES = 8  # before each packed buffer of Arrow IPC: its plain size, or -1 if it is plain

_RECORDS, _DICTIONARY = 3, 2  # kinds of IPC messages


def longest_value(row_group: Any, file: BinaryIO) -> int:  # noqa: ANN401 - pyarrow ships no types
    """The most bytes of the values in a row of Parquet, of those that are stored once for many rows."""
    return sum(_repeatable(row_group.column(at), file) for at in range(row_group.num_columns))


def _repeatable(column: Any, file: BinaryIO) -> int:  # noqa: ANN401 - pyarrow ships no types
    """The size of the dictionary; all of the column where that is unknown, or where values share their beginnings."""
    if column.physical_type != "BYTE_ARRAY":
        return 0
    if "DELTA_BYTE_ARRAY" in column.encodings:
        return int(column.total_uncompressed_size)
    if not any(encoding.endswith("DICTIONARY") for encoding in column.encodings):
        return 0
    file.seek(column.dictionary_page_offset or column.data_page_offset)
    size = _dictionary_size(file.read(HEADER_BYTES))
    return int(column.total_uncompressed_size) if size is None else size


def _dictionary_size(header: bytes) -> int | None:
    """The plain size of a dictionary page, from its header in Thrift's compact protocol; None if it is another page."""
    if header[:3] != b"\x15\x04\x15":  # a number, 2 for a dictionary; another number
        return None
    size = 0
    for place, byte in enumerate(header[3:8]):
        size |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return size >> 1
    return None


def plain_bytes(batch: Any) -> int:  # noqa: ANN401 - pyarrow ships no types
    """The bytes of the values of a batch, where a value of a dictionary counts each time."""
    return int(batch.nbytes) + sum(_repeated(column) for column in batch.columns)


def _repeated(column: Any) -> int:  # noqa: ANN401 - pyarrow ships no types
    if not isinstance(column, pa.DictionaryArray) or not (
        pa.types.is_string(column.type.value_type) or pa.types.is_large_string(column.type.value_type)
    ):
        return 0
    return pc.sum(pc.binary_length(column.dictionary).take(column.indices)).as_py() or 0


def ipc_sizes(file: Any) -> Iterator[int]:  # noqa: ANN401 - pyarrow ships no types
    """The plain bytes of each message of an IPC stream or file, up to what is no message."""
    file.seek(8 if file.read(6) == b"ARROW1" else 0)
    reader = pa.ipc.MessageReader.open_stream(file)
    while True:
        try:
            message = reader.read_next_message()
        except (StopIteration, EOFError, pa.ArrowException, OSError):
            return
        try:
            yield _message_size(message.metadata.to_pybytes(), message.body)
        except (struct.error, IndexError):
            return


def _message_size(header: bytes, body: Any) -> int:  # noqa: ANN401 - pyarrow ships no types
    """The plain bytes of the buffers of a message, whose header is a Flatbuffer."""
    if body is None:
        return 0
    message = _u32(header, 0)
    kind, records = _field(header, message, 1), _field(header, message, 2)
    if not kind or not records or header[kind] not in {_RECORDS, _DICTIONARY}:
        return 0
    table = records + _u32(header, records)
    if header[kind] == _DICTIONARY:
        data = _field(header, table, 1)
        table = data + _u32(header, data)
    buffers = _field(header, table, 2)
    if not buffers or not _field(header, table, 3):
        return len(body)
    first, view = buffers + _u32(header, buffers), memoryview(body)
    size = 0
    for at in range(_u32(header, first)):
        start, length = struct.unpack_from("<qq", header, first + 4 + 16 * at)
        if length >= SIZE_BYTES and 0 <= start <= len(view) - SIZE_BYTES:
            size += max(*struct.unpack_from("<q", view, start), 0)
    return size


def _field(header: bytes, table: int, number: int) -> int:
    """The place of a field of a table, or 0 if it is absent."""
    places = table - int(struct.unpack_from("<i", header, table)[0])
    if 4 + 2 * number >= struct.unpack_from("<H", header, places)[0]:
        return 0
    offset = int(struct.unpack_from("<H", header, places + 4 + 2 * number)[0])
    return table + offset if offset else 0


def _u32(header: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", header, at)[0])
