"""Atomic writes: a name on disk means a complete file. Write a temporary sibling, flush it to the disk, rename it.

The writing process locks its temporary file, so the kernel knows which ones were left by dead processes.
An object store cannot rename: the file is written on this machine, and one upload makes the object.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from sepo_data.storage.location import is_remote, upload

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX = ".sepo-tmp"
OWNER = ".owner"
"""The file in a temporary folder that the process locks which works there."""

UNOWNED_SECONDS = 60.0
"""Age of a temporary folder after which it has lost its owner, if it has none."""

_NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_DISK_TEXTS = (
    *map(os.strerror, _FULL_DISK),
    *(f"(os error {number})" for number in _FULL_DISK),
    "PytorchStreamWriter",
    "unexpected pos",
)


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary sibling of `path`, which gets the name if the block succeeds, and is deleted if it fails."""
    if is_remote(path):
        with scratch_folder() as scratch, (scratch / "object").open("w+b") as copy:
            yield copy
            copy.flush()
            upload(copy.name, path)
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


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Make a temporary sibling folder of `path`, deleted at the end unless `keep_folder` has renamed it."""
    folder, owner = _open_folder(path)
    try:
        with owner:
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _open_folder(path: Path) -> tuple[Path, BinaryIO]:
    while True:
        folder = path.with_name(f"{path.name}.{secrets.token_hex(4)}{SUFFIX}")
        folder.mkdir()
        with suppress(FileNotFoundError):
            owner = cast("BinaryIO", (folder / OWNER).open("w+b"))
            # Between these two lines another process may have found it without a lock, and be deleting the folder.
            if _lock(owner, without=True) and os.fstat(owner.fileno()).st_nlink:
                return folder, owner
            owner.close()


def keep_folder(folder: Path, path: Path) -> None:
    """Give a complete `temporary_folder` the name `path`, unless another process has made that meanwhile."""
    (folder / OWNER).unlink()
    try:
        folder.replace(path)
    except OSError:
        if not path.exists():
            raise


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder in the temporary directory of this machine, deleted at the end; dead processes' go first."""
    place = Path(tempfile.gettempdir())
    for leftover in place.glob(f"sepo.*{SUFFIX}"):
        _remove_if_dead(leftover)
    with temporary_folder(place / "sepo") as folder:
        yield folder


def remove_leftovers(folder: Path, *, deep: bool = True) -> None:
    """Delete the temporary files and folders in `folder`, and with `deep` below it, that no living process writes."""
    if is_remote(folder):
        return
    found = folder.rglob(f"*{SUFFIX}") if deep else folder.glob(f"*.????????{SUFFIX}")
    for leftover in list(found):
        _remove_if_dead(leftover)


def _remove_if_dead(leftover: Path) -> None:
    # Opened for writing: network file systems lock no other file. One that cannot be opened so is another user's.
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        if not leftover.is_dir():
            with leftover.open("r+b") as file:
                if _lock(file, without=False):
                    leftover.unlink()
            return
        try:
            with (leftover / OWNER).open("r+b") as file:
                if _lock(file, without=False):  # kept until it is deleted: its maker may be about to lock it
                    shutil.rmtree(leftover, ignore_errors=True)
        except FileNotFoundError:  # it is being made or renamed at this moment, or it was when the process died
            if time.time() - leftover.stat().st_mtime > UNOWNED_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)


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
