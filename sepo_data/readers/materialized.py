"""Plain copies, in the cache folder, of rows that cannot be read from the middle.

These are compressed files, pipes, the answer to a query, Hub streams and Parquet files with large row groups. Each copy
is written once and named by its origin, so that a resumed command finds it. All copies may be deleted at any time.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import secrets
import time
import zlib
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa

from sepo_data.errors import SepoError
from sepo_data.readers.copy_limit import bounded
from sepo_data.storage.atomic import UNOWNED_SECONDS, atomic_write, disk_full, remove_leftovers
from sepo_data.storage.cache import cache_folder, file_sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from sepo_data.readers.rows import DataFile

COPY_BYTES = 1 << 16  # copied at a time
FIRST_CHECK_BYTES = 4 << 20  # copied before the first check whether they are enough
COMPRESSIONS = (".gz", ".zst")
_NOT_WRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}
_UNNAMED = 16
"""Characters of the name of a complete copy that has no name by its content yet; others have 32 and more."""

Enough = Callable[[Path], bool]
"""Returns whether the file written so far holds all the rows that are requested."""


def cached_copy(
    name: str, write: Callable[[BinaryIO], None], *, origin: str, packed: int | None = None, arrow: bool = False
) -> Path:
    """The file `name` in the cache folder, written first if it does not exist.

    Args:
        name: of the copy.
        write: writes its content.
        origin: what is copied, in errors.
        packed: bytes of a compressed origin, which limit those of the copy.
        arrow: the origin is Parquet or Arrow.
    """
    file = _folder() / name
    if not file.exists():
        with _cache_errors(file), atomic_write(file) as sink:
            write(bounded(sink, origin, packed, arrow=arrow))
    return file


def decompressed(file: DataFile, compression: str, limit: int | None, enough: Enough) -> Path:
    """A plain copy of a file in one of `COMPRESSIONS`; with a limit, of a beginning that is `enough`."""

    def write(sink: BinaryIO) -> None:
        with file.path.open("rb") as packed, _decoder(compression, packed) as plain:
            _copy(plain, file.address, sink, enough if limit else None)

    name = f"{content_key([file.path])}-{limit or 'all'}"
    return cached_copy(name, write, origin=file.address, packed=file.path.stat().st_size)


def piped(stream: BinaryIO, name: str, limit: int | None, enough: Enough) -> Path:
    """A copy of what a pipe delivers; with a limit, of a beginning that is `enough`. Named by its content."""
    incoming = _folder() / secrets.token_hex(_UNNAMED // 2)
    with _cache_errors(incoming), atomic_write(incoming) as sink:
        _copy(stream, name, bounded(sink, name, None), enough if limit else None)
    return incoming.replace(incoming.with_name(content_key([incoming])))


def content_key(files: Sequence[Path]) -> str:
    """32 hex digits of a SHA-256 of the files' bytes."""
    return hashlib.sha256(b"".join(bytes.fromhex(file_sha256(file)) for file in files)).hexdigest()[:32]


def _folder() -> Path:
    folder = cache_folder() / "rows"
    with _cache_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder, deep=False)
    for unnamed in folder.glob("?" * _UNNAMED):
        with suppress(FileNotFoundError):
            if time.time() - unnamed.stat().st_mtime > UNOWNED_SECONDS:
                unnamed.unlink()
    return folder


@contextmanager
def _cache_errors(file: Path) -> Iterator[None]:
    """Make a SepoError of a full disk, and of a folder that cannot be written."""
    try:
        yield
    except OSError as error:
        if not disk_full(error) and error.errno not in _NOT_WRITABLE:
            raise
        raise SepoError(
            f"{file.parent} cannot be written: {error.strerror or error}",
            "free some space, or set SEPO_CACHE to another folder",
        ) from error


def _decoder(compression: str, file: BinaryIO) -> AbstractContextManager[Any]:
    return (
        gzip.GzipFile(fileobj=file) if compression == ".gz" else pa.CompressedInputStream(pa.PythonFile(file), "zstd")
    )


def _copy(source: Any, name: str, sink: BinaryIO, enough: Enough | None) -> None:  # noqa: ANN401 - pyarrow ships no types
    copied, next_check = 0, FIRST_CHECK_BYTES
    while True:
        try:
            piece = source.read1(COPY_BYTES)  # returns what precedes damage, and does not fail as a whole
        except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
            raise SepoError(f"{name} cannot be read beyond about {copied} bytes: {error}") from error
        if not piece:
            return
        sink.write(piece)
        copied += len(piece)
        if enough and copied >= next_check:
            next_check *= 2  # doubling keeps the cost linear, although the beginning is read again each time
            sink.flush()
            if enough(Path(sink.name)):
                return
