"""What lies in a store, copied to this machine once: tables are mapped from files, and read more than once."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import SepoError
from sepo_data.atomic import atomic_write
from sepo_data.location import filesystem, is_remote, public_name

if TYPE_CHECKING:
    from collections.abc import Iterator

_VERSION = ("size", "ETag", "etag", "md5Hash", "generation", "blob_id", "created", "last_modified", "LastModified")
"""What stores tell of an object that changes with its content."""


def cache_folder() -> Path:
    """`$SEPO_CACHE`, or `sepo` in the user's cache folder."""
    if chosen := os.environ.get("SEPO_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sepo"


def fetched(path: Path, *, recursive: bool = False) -> Path:
    """A local copy of the remote file or folder `path`, under its own name; of a local one, itself.

    It is fetched once: again only where the store tells of another version of it.

    Args:
        path: of anything.
        recursive: of a folder, with what its folders hold.

    Raises:
        SepoError: there is nothing of that name, or the store does not give it.
    """
    if not is_remote(path):
        return path
    store, name = filesystem(path)
    with _store_errors(path):
        found = _files(store, name, recursive=recursive)
    version = {inner: [str(info.get(key)) for key in _VERSION] for inner, info in found.items()}
    identity = hashlib.sha256(json.dumps([public_name(path), version], sort_keys=True).encode()).hexdigest()
    copy = cache_folder() / "remote" / identity[:16] / path.name
    for inner, info in found.items():
        file = copy / inner if inner else copy
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(file) as sink, _store_errors(path):
                store.get_file(info["name"], sink.name)
    return copy


def _files(store: Any, name: str, *, recursive: bool) -> dict[str, dict[str, Any]]:  # noqa: ANN401 - fsspec is untyped
    """What the store tells of each file, by its name within the folder `name`; "" where `name` is a file."""
    store.invalidate_cache()
    info = store.info(name)
    if info["type"] != "directory":
        return {"": info | {"name": name}}
    inside = store.find(name, detail=True).values() if recursive else store.ls(name, detail=True)
    start = len(store._strip_protocol(name).rstrip("/")) + 1  # noqa: SLF001 - fsspec's own name for it
    return {entry["name"][start:]: entry for entry in inside if entry["type"] == "file" and len(entry["name"]) > start}


@contextmanager
def _store_errors(path: Path) -> Iterator[None]:
    """Each store has errors of its own, without a common class; some lack a message."""
    try:
        yield
    except SepoError:
        raise
    except FileNotFoundError:
        raise SepoError(f"{public_name(path)} does not exist", "check the name, and the credentials") from None
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise SepoError(
            f"{public_name(path)} cannot be read: {reason}", "check the name, and the credentials"
        ) from error
