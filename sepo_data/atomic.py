"""A name on disk means a whole file: write beside it, flush to the disk, rename."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIX = ".sepo-tmp"


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary sibling of `path`; it takes the name when the block ends well and vanishes when it does not."""
    temporary = path.with_name(path.name + SUFFIX)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
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
    """Delete the temporary files that a killed run left under `folder`."""
    for leftover in folder.rglob(f"*{SUFFIX}"):
        if leftover.is_file():
            leftover.unlink()
