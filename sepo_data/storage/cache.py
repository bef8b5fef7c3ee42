"""Cache facts about large files (row counts, hashes) until the file changes."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sepo_data.storage.atomic import remove_leftovers, write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MIN_CACHED_BYTES = 16 << 20
"""Smaller files are read again: that takes 10 ms, and a cached fact is a file of its own."""

SETTLED_SECONDS = 2.0
"""Age of a file's last change after which a further change shows in its time stamp."""

HASHING_THREADS = min(4, os.cpu_count() or 1)

_VERSION = 1
"""Of the cached facts: another number makes all of them unknown."""


def cache_folder() -> Path:
    """`$SEPO_CACHE`, or `sepo` in the user's cache folder."""
    if chosen := os.environ.get("SEPO_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sepo"


def file_sha256(path: Path, *, again: bool = False) -> str:
    """SHA-256 of a file's bytes, 64 hex digits. A large file is read once, until it changes; any file once a process.

    Args:
        path: of the file.
        again: read it now, whatever is remembered of it.
    """

    def read() -> list[str]:
        return [cached_fact("sha256", [path], lambda: _digest(path), again=again)]

    return _remembered([path], read, again=again)[0]


def file_sha256s(paths: Sequence[Path], *, again: bool = False) -> list[str]:
    """`file_sha256` of each path, read in parallel; many small files together are remembered as a large one is."""

    def digests() -> list[str]:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(HASHING_THREADS) as threads:
            return list(threads.map(partial(file_sha256, again=again), paths))

    return _remembered(paths, lambda: cached_fact("sha256 of each", paths, digests, again=again), again=again)


def cached_fact(question: str, files: Sequence[Path], answer: Callable[[], Any], *, again: bool = False) -> Any:  # noqa: ANN401 - any JSON value
    """`answer()`, computed once until one of `files` changes (device, inode, size or times).

    Args:
        question: names the fact; one file may have several.
        files: what the answer depends on, by their content alone.
        answer: computes a JSON value.
        again: compute it now, and remember that.
    """
    identity = _identities(files)
    if sum(file.size for file in identity) < MIN_CACHED_BYTES or not _is_settled(identity):
        return answer()
    key = hashlib.sha256(json.dumps([_VERSION, question, identity]).encode("utf-8", "surrogateescape")).hexdigest()
    note = cache_folder() / "index" / f"{key[:32]}.json"
    with suppress(OSError, ValueError):
        if not again:
            return json.loads(note.read_bytes())
    value = answer()
    if _identities(files) == identity:
        with suppress(OSError):  # a cache that cannot be written costs time, no more
            note.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(note.parent, deep=False)
            write_text(note, json.dumps(value))
    return value


def _remembered(paths: Sequence[Path], read: Callable[[], list[str]], *, again: bool) -> list[str]:
    """The hashes of files, from this process's memory where it has all of them, else by `read`."""
    identities = _identities(paths)
    if not identities or (not again and all(identity in _digests for identity in identities)):
        return [_digests[identity] for identity in identities]
    settled = _is_settled(identities)
    found = read()
    if settled and _identities(paths) == identities:
        _digests.update(zip(identities, found, strict=True))
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Identity(NamedTuple):
    """A file with all that changes with its content."""

    path: str
    device: int
    inode: int
    size: int
    modified: int
    changed: int


_digests: dict[_Identity, str] = {}
"""Hashes of settled files that this process has read."""


def _identities(files: Sequence[Path]) -> list[_Identity]:
    facts = [(str(file.absolute()), file.stat()) for file in files]
    return [
        _Identity(path, fact.st_dev, fact.st_ino, fact.st_size, fact.st_mtime_ns, fact.st_ctime_ns)
        for path, fact in facts
    ]


def _is_settled(files: Sequence[_Identity]) -> bool:
    return time.time() - max(file.changed for file in files) / 1e9 >= SETTLED_SECONDS
