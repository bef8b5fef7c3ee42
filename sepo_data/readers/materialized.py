"""Rows that cannot be read from the middle, written once as a plain file in the cache folder.

That is so of compressed files, of what is piped in, of the answer to a query and of what the Hub streams. Every such
file is named by what it was made from: a resumed command finds it. All of them may be deleted at any time.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import secrets
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pyarrow as pa

from sepo_data.errors import SepoError
from sepo_data.storage.atomic import atomic_write, remove_leftovers
from sepo_data.storage.cache import remembered
from sepo_data.storage.download import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from sepo_data.readers.rows import DataFile

PIECE = 1 << 16  # bytes copied at a time
FIRST_LOOK = 4 << 20  # bytes copied before it is first asked whether that is enough
COMPRESSIONS = (".gz", ".zst")
_NOT_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}

Enough = Callable[[Path], bool]
"""Whether the file so far holds all the rows that are wanted."""


def spooled(name: str, write: Callable[[BinaryIO], None]) -> Path:
    """The file of that name in the cache, written where it is not there yet."""
    file = _folder() / name
    if not file.exists():
        with _room_for(file), atomic_write(file) as sink:
            write(sink)
    return file


def decompressed(file: DataFile, compression: str, limit: int | None, enough: Enough) -> Path:
    """The plain content of a file in one of `COMPRESSIONS`; with a limit, its beginning that is enough."""

    def write(sink: BinaryIO) -> None:
        with file.path.open("rb") as packed, _decoder(compression, packed) as plain:
            _copy(plain, file.address, sink, enough if limit else None)

    return spooled(f"{content_key([file.path])}-{limit or 'all'}", write)


def piped(stream: BinaryIO, name: str, limit: int | None, enough: Enough) -> Path:
    """What comes through a pipe; with a limit, its beginning that is enough. The file is named by its content."""
    incoming = _folder() / secrets.token_hex(8)
    with _room_for(incoming), atomic_write(incoming) as sink:
        _copy(stream, name, sink, enough if limit else None)
    return incoming.replace(incoming.with_name(content_key([incoming])))


def content_key(files: Sequence[Path]) -> str:
    """32 hex digits of the SHA-256 of the files' bytes."""

    def digest() -> str:
        total = hashlib.sha256()
        for file in files:
            with file.open("rb") as handle:
                total.update(hashlib.file_digest(handle, "sha256").digest())
        return total.hexdigest()

    return cast("str", remembered("content", files, digest))[:32]


def _folder() -> Path:
    folder = cache_folder() / "rows"
    with _room_for(folder):
        folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    return folder


@contextmanager
def _room_for(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_WRITTEN:
            raise
        raise SepoError(
            f"{file.parent} cannot be written: {error.strerror or error}",
            "make room there, or name another folder in SEPO_CACHE",
        ) from error


def _decoder(compression: str, file: BinaryIO) -> AbstractContextManager[Any]:
    return (
        gzip.GzipFile(fileobj=file) if compression == ".gz" else pa.CompressedInputStream(pa.PythonFile(file), "zstd")
    )


def _copy(source: Any, name: str, sink: BinaryIO, enough: Enough | None) -> None:  # noqa: ANN401 - pyarrow ships no types
    copied, look = 0, FIRST_LOOK
    while True:
        try:
            piece = source.read1(PIECE)  # what there is before the damage, not all or nothing
        except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
            raise SepoError(f"{name} cannot be read on after about {copied} bytes: {error}") from error
        if not piece:
            return
        sink.write(piece)
        copied += len(piece)
        if enough and copied >= look:
            look *= 2  # doubling: looking at the same beginning again stays linear in the end
            sink.flush()
            if enough(Path(sink.name)):
                return
