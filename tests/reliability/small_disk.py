"""A small file system in memory; where it cannot be mounted, a folder whose size does not change."""

from __future__ import annotations

import ctypes
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REMOUNT, LAZILY = 32, 2


@contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[int], None]]:
    """Mount a file system at `folder`; yields a function that changes its size in bytes."""
    folder.mkdir(exist_ok=True)
    libc, name = ctypes.CDLL(None, use_errno=True), os.fsencode(folder)
    mounted = libc.mount(b"tmpfs", name, b"tmpfs", 0, b"size=16m") == 0

    def resize(size: int) -> None:
        if mounted and libc.mount(b"tmpfs", name, b"tmpfs", REMOUNT, f"size={size}".encode()):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    try:
        yield resize
    finally:
        if mounted and libc.umount2(name, LAZILY):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
