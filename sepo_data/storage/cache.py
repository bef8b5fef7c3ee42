"""What was found out about large files, kept in the cache folder for as long as the files stay as they are."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sepo_data.storage.atomic import write_text
from sepo_data.storage.download import cache_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

WORTHWHILE = 16 << 20  # bytes: what is smaller is read again faster than it is worth a file
SETTLED = 2.0  # seconds since the last change of a file, after which another change shows in its time stamp
VERSION = 1  # of what is kept


def remembered(question: str, files: Sequence[Path], answer: Callable[[], Any]) -> Any:  # noqa: ANN401 - any JSON value
    """`answer()`, a JSON value that depends on the content of `files` alone; computed once while they do not change."""
    facts = [file.stat() for file in files]
    newest = max(fact.st_ctime for fact in facts)
    if sum(fact.st_size for fact in facts) < WORTHWHILE or time.time() - newest < SETTLED:
        return answer()
    identity = [
        [str(file.absolute()), fact.st_dev, fact.st_ino, fact.st_size, fact.st_mtime_ns, fact.st_ctime_ns]
        for file, fact in zip(files, facts, strict=True)
    ]
    key = hashlib.sha256(json.dumps([VERSION, question, identity]).encode("utf-8", "surrogateescape")).hexdigest()
    note = cache_folder() / "index" / f"{key[:32]}.json"
    with suppress(OSError, ValueError):
        return json.loads(note.read_bytes())
    value = answer()
    if [file.stat().st_ctime_ns for file in files] == [fact.st_ctime_ns for fact in facts]:
        with suppress(OSError):  # a cache that cannot be written costs time, no more
            note.parent.mkdir(parents=True, exist_ok=True)
            write_text(note, json.dumps(value))
    return value
