"""Atomic writes: a name on disk means a complete file. Write a temporary sibling, flush it to the disk, rename it.

The writing process locks its temporary file, so the kernel knows which ones were left by dead processes.
An object store cannot rename: the file is written on this machine, and one upload makes the object.
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
_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_DISK_TEXTS = (os.strerror(errno.ENOSPC), f"os error {errno.ENOSPC}", "PytorchStreamWriter", "unexpected pos")


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary sibling of `path`, which gets the name if the block succeeds, and is deleted if it fails."""
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
            temporary.replace(path)  # while it is open: once closed, it could be taken for a leftover
    except BaseException:
        with suppress(OSError):  # the first error matters more
            temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, UTF-8."""
    with atomic_write(path) as file:
        file.write(text.encode())


def disk_full(error: BaseException) -> bool:
    """True if `error` reports a full disk, an exhausted quota or a file size limit.

    safetensors and PyTorch raise errors of their own, without an error number: their messages decide.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL_DISK
    return any(text in str(error) for text in _FULL_DISK_TEXTS)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files under `folder` that no living process is writing."""
    for leftover in [] if is_remote(folder) else folder.rglob(f"*{SUFFIX}"):
        # Opened for writing: network file systems lock no other file. One that cannot be opened so is another user's.
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
    """Lock `file`. Returns whether this process holds it now; `without`, if the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return without
    return True
