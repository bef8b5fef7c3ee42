"""What lies in a store, copied to this machine once: tables are mapped from files, and read more than once."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from sepo_data.errors import SepoError
from sepo_data.storage.atomic import atomic_write
from sepo_data.storage.location import filesystem, is_remote, public_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_VERSION = (
    *("size", "ETag", "etag", "md5Hash", "generation", "blob_id", "created"),
    *("last_modified", "LastModified", "Last-Modified"),
)
"""What stores tell of an object that changes with its content."""


def cache_folder() -> Path:
    """`$SEPO_CACHE`, or `sepo` in the user's cache folder."""
    if chosen := os.environ.get("SEPO_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sepo"


def fetched(path: Path, *, recursive: bool = False, only: Collection[str] | None = None) -> Path:
    """A local copy of the remote file or folder `path`, under its own name; of a local one, itself.

    It is fetched once: again only where the store tells of another version of it.

    Args:
        path: of anything.
        recursive: of a folder, with what its folders hold.
        only: of a folder, the files with these names in it.

    Raises:
        SepoError: there is nothing of that name, or the store does not give it.
    """
    if not is_remote(path):
        return path
    store, found = _files(path, recursive=recursive or only is not None)
    if only is not None:
        found = {inner: info for inner, info in found.items() if inner in only}
    version = {inner: [str(info.get(key)) for key in _VERSION] for inner, info in found.items()}
    name = public_name(path)
    identity = hashlib.sha256(json.dumps([name, version], sort_keys=True).encode()).hexdigest()
    copy = cache_folder() / "remote" / identity[:16] / PurePosixPath(name).name
    for inner, info in found.items():
        file = copy / inner if inner else copy
        if not file.resolve().is_relative_to(copy.resolve()):
            raise SepoError(f"{name} holds a file called {inner}, which would be written elsewhere")
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(file) as sink, _store_errors(path):
                store.get_file(info["name"], sink.name)
    return copy


def file_names(path: Path) -> list[str] | None:
    """The names of the files in and below the remote folder `path`, as from there; None where it is a file."""
    found = _files(path, recursive=True)[1]
    return None if "" in found else list(found)


def matching_names(folder: Path, pattern: str) -> list[str]:
    """The names of the files that fit a pattern, as from the remote `folder`."""
    store, name = filesystem(folder)
    start = len(store._strip_protocol(name).rstrip("/")) + 1  # noqa: SLF001 - fsspec's own name for it
    with _store_errors(folder):
        store.invalidate_cache()
        found = store.glob(f"{name.rstrip('/')}/{pattern}", detail=True)
    return [file[start:] for file, info in found.items() if info["type"] == "file"]


def _files(path: Path, *, recursive: bool) -> tuple[Any, dict[str, dict[str, Any]]]:
    """The store, and what it tells of each file, by its name within the folder `path`; "" where that is a file."""
    store, name = filesystem(path)
    with _store_errors(path):
        store.invalidate_cache()
        info = store.info(name)
        if info["type"] != "directory":
            return store, {"": info | {"name": name}}
        inside = store.find(name, detail=True).values() if recursive else store.ls(name, detail=True)
    start = len(store._strip_protocol(name).rstrip("/")) + 1  # noqa: SLF001 - fsspec's own name for it
    files = (entry for entry in inside if entry["type"] == "file" and len(entry["name"]) > start)
    return store, {entry["name"][start:]: entry for entry in files}


@contextmanager
def _store_errors(path: Path) -> Iterator[None]:
    """Each store has errors of its own, without a common class; some lack a message."""
    try:
        yield
    except SepoError:
        raise
    except FileNotFoundError:
        raise SepoError(f"{public_name(path)} does not exist", "check the name, and the credentials") from None
    except Exception as error:  # noqa: BLE001 - as said above
        # Some quote the whole URL, with its signature.
        reason = str(error).replace(str(path), public_name(path)) or type(error).__name__
        raise SepoError(
            f"{public_name(path)} cannot be read: {reason}", "check the name, and the credentials"
        ) from None
