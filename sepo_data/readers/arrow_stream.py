"""Arrow IPC streams that sepo writes: mapped into memory, every failure an error that names the file."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from sepo_data.errors import SepoError, first_line, is_failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
"""The last bytes of an Arrow stream. Arrow accepts a file without them, however many batches are cut away."""


AGAIN = "the same command that made it makes it again"


def map_stream(file: Path, *, columns: Sequence[str] | None = None, validate: bool = True) -> pa.Table:
    """Map the stream `file`; the table's buffers point into it.

    Args:
        file: of this machine.
        columns: leave out all others.
        validate: check every offset and text. Without, the bytes are known to be those that were written: using a
            damaged offset would end the process.

    Raises:
        SepoError: the file is no complete stream.
    """
    with stream_errors(file):
        # The table keeps the map alive; closing it here would pull the pages away from under it.
        pages = pa.memory_map(str(file))
        end = pages.size() - len(END_OF_STREAM)
        if end < 0 or pages.read_at(len(END_OF_STREAM), end) != END_OF_STREAM:
            raise SepoError(f"{file} cannot be read: it ends before its last row", AGAIN)
        table = pa.ipc.open_stream(pages).read_all()
        table = table if columns is None else table.select(list(columns))
        if validate:
            table.validate(full=True)
    return table


@contextmanager
def stream_errors(file: Path) -> Iterator[None]:
    """Make a SepoError of every failure in Arrow or Polars, panics of Rust among them, while `file` is read."""
    try:
        yield
    except SepoError:
        raise
    except BaseException as error:
        # Arrow raises whatever fits: a length of 2^60 is a MemoryError or an OverflowError.
        if not is_failure(error):
            raise
        raise SepoError(f"{file} cannot be read: {first_line(error)}", AGAIN) from error


def check_texts(fields: Iterable[pa.Field]) -> None:
    """Raise a `UnicodeDecodeError` where a name or a note of a column is no text: Polars would panic."""
    for field in fields:
        field.name.encode()
        for key, value in (field.metadata or {}).items():
            key.decode(), value.decode()
        if pa.types.is_struct(field.type):
            check_texts(field.type.field(place) for place in range(field.type.num_fields))
        elif pa.types.is_list(field.type) or pa.types.is_large_list(field.type):
            check_texts([field.type.value_field])
