"""Cache facts about large files (row counts, hashes) until the file changes."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sepo_data.storage.atomic import write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MIN_CACHED_BYTES = 16 << 20
"""Smaller files are read again: that takes 10 ms, and a cached fact is a file of its own."""

SETTLED_SECONDS = 2.0
"""Age of a file's last change after which a further change shows in its time stamp."""

_VERSION = 1
"""Of the cached facts: another number makes all of them unknown."""


def cache_folder() -> Path:
    """`$SEPO_CACHE`, or `sepo` in the user's cache folder."""
    if chosen := os.environ.get("SEPO_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sepo"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits. A large file is read once, until it changes."""

    def digest() -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return cast("str", cached_fact("sha256", [path], digest))


def cached_fact(question: str, files: Sequence[Path], answer: Callable[[], Any]) -> Any:  # noqa: ANN401 - any JSON value
    """`answer()`, computed once until one of `files` changes (device, inode, size or times).

    Args:
        question: names the fact; one file may have several.
        files: what the answer depends on, by their content alone.
        answer: computes a JSON value.
    """
    facts = [file.stat() for file in files]
    newest = max(fact.st_ctime for fact in facts)
    if sum(fact.st_size for fact in facts) < MIN_CACHED_BYTES or time.time() - newest < SETTLED_SECONDS:
        return answer()
    identity = [
        [str(file.absolute()), fact.st_dev, fact.st_ino, fact.st_size, fact.st_mtime_ns, fact.st_ctime_ns]
        for file, fact in zip(files, facts, strict=True)
    ]
    key = hashlib.sha256(json.dumps([_VERSION, question, identity]).encode("utf-8", "surrogateescape")).hexdigest()
    note = cache_folder() / "index" / f"{key[:32]}.json"
    with suppress(OSError, ValueError):
        return json.loads(note.read_bytes())
    value = answer()
    if [file.stat().st_ctime_ns for file in files] == [fact.st_ctime_ns for fact in facts]:
        with suppress(OSError):  # a cache that cannot be written costs time, no more
            note.parent.mkdir(parents=True, exist_ok=True)
            write_text(note, json.dumps(value))
    return value
