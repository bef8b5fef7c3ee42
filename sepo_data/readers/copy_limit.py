"""The limit on a plain copy: a small file that unpacks without end is refused before it fills the disk."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE = "SEPO_MAX_UNPACKED"
RATIO = 100  # of the packed size; preference data unpack to 3 to 30 times theirs
SMALL_BYTES = 256 << 20  # a copy of that size is never refused for its ratio
SMALL_ARROW_BYTES = 1 << 30  # nor is this from Parquet or Arrow, which keep repeated values once
RESERVED_BYTES = 1 << 30  # of the disk, or RESERVED_SHARE where that is less, stay free
RESERVED_SHARE = 0.05
CHECK_BYTES = 64 << 20  # written between two looks at the disk

_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[KMGT]?)(?P<binary>I?)B?", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def bounded(sink: BinaryIO, origin: str, packed: int | None, *, arrow: bool = False) -> BinaryIO:
    """`sink`, whose `write` raises once the copy of `origin` is larger than it may be.

    Args:
        sink: an open file with a name.
        origin: what is copied, in errors.
        packed: bytes that are unpacked into the copy; None if it has no packed form, as a pipe.
        arrow: they are Parquet or Arrow.
    """
    return cast("BinaryIO", _Bounded(sink, _limit(packed, arrow=arrow), origin, packed))


def check_unpacked(size: int, origin: str, packed: int) -> None:
    """Raise if `packed` bytes of Parquet or Arrow may not unpack to `size` bytes."""
    limit = _limit(packed, arrow=True)
    if limit is not None and size > limit:
        raise _too_large(origin, limit, packed)


def _limit(packed: int | None, *, arrow: bool = False) -> int | None:
    """The most bytes of a copy: those in the environment, else by the packed size; None if only the disk decides."""
    if chosen := os.environ.get(VARIABLE):
        return _bytes(chosen)
    return None if packed is None else max(SMALL_ARROW_BYTES if arrow else SMALL_BYTES, RATIO * packed)


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise SepoError(f"{VARIABLE}={text} is no size", "write a number of bytes, such as 20GB")
    base = 1024 if found["binary"] else 1000
    return int(float(found["number"]) * base ** _POWERS[found["unit"].upper()])


def _too_large(origin: str, limit: int, packed: int | None) -> SepoError:
    source = "" if packed is None else f", from {packed:,}"
    return SepoError(
        f"{origin} takes more than {limit:,} bytes unpacked{source}, the most that sepo unpacks",
        f"if you trust it, set {VARIABLE} to the bytes that it may take, such as {VARIABLE}=20GB",
    )


class _Bounded:
    """A file that counts what is written into it."""

    def __init__(self, sink: BinaryIO, limit: int | None, origin: str, packed: int | None) -> None:
        self._sink, self._limit, self._origin, self._packed = sink, limit, origin, packed
        self._written, self._next_check = 0, CHECK_BYTES

    def __getattr__(self, name: str) -> Callable[..., object]:
        return cast("Callable[..., object]", getattr(self._sink, name))

    def write(self, data: bytes) -> int:
        self._written += len(data)
        if self._limit is not None and self._written > self._limit:
            raise _too_large(self._origin, self._limit, self._packed)
        if self._written >= self._next_check:
            self._next_check = self._written + CHECK_BYTES
            self._check_disk()
        return self._sink.write(data)

    def _check_disk(self) -> None:
        folder = Path(self._sink.name).parent
        disk = shutil.disk_usage(folder)
        if disk.free < min(RESERVED_BYTES, RESERVED_SHARE * disk.total):
            raise SepoError(
                f"the copy of {self._origin} leaves only {disk.free >> 20} MiB free on the disk of {folder}",
                "free some space, set SEPO_CACHE to another folder, or read less with --limit",
            )
