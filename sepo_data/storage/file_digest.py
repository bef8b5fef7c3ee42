"""What a file holds, as a SHA-256; weights are gigabytes, and are asked for again and again."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def file_digest(path: Path) -> str:
    """64 hex digits. A file that has not changed since is not read again in this process."""
    now = path.stat()
    return _read(path.absolute(), (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns))


@cache
def _read(path: Path, _version: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
