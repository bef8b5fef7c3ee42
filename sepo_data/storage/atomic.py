"""A name on disk means a whole file: write beside it, flush to the disk, rename.

A temporary file is locked by the process that writes it, so the kernel knows which ones are nobody's any more.
An object store knows no renaming: there the file is written on this machine, and one upload makes the object.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import tempfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, cast

from sepo_data.storage.location import is_remote, upload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIX = ".sepo-tmp"
_NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary sibling of `path`; it takes the name when the block ends well and vanishes when it does not."""
    if is_remote(path):
        with tempfile.NamedTemporaryFile(suffix=SUFFIX) as scratch:
            yield cast("BinaryIO", scratch)
            scratch.flush()
            upload(scratch.name, path)
        return
    file, temporary = _open_temporary(path)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)  # while it is open: once it is closed, it could be taken for a leftover
    except BaseException:
        with suppress(OSError):  # what went wrong is worth more than this
            temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file atomically, UTF-8."""
    with atomic_write(path) as file:
        file.write(text.encode())


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files under `folder` that no living process is writing."""
    for leftover in [] if is_remote(folder) else folder.rglob(f"*{SUFFIX}"):
        # For writing, or a network file system gives no lock. What cannot be opened so is not ours to delete.
        with suppress(FileNotFoundError, IsADirectoryError, PermissionError), leftover.open("r+b") as file:
            if _lock(file, without=False):
                leftover.unlink()


def _open_temporary(path: Path) -> tuple[BinaryIO, Path]:
    while True:
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}{SUFFIX}")
        file = cast("BinaryIO", temporary.open("w+b"))
        # Between these two lines another process may have found the file without a lock and deleted it.
        if _lock(file, without=True) and os.fstat(file.fileno()).st_nlink:
            return file, temporary
        file.close()


def _lock(file: BinaryIO, *, without: bool) -> bool:
    """Whether `file` is locked by this process now; `without`, where the file system knows no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return without
    return True
