"""Download remote files once into the cache, because tables are memory-mapped."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from sepo_data.errors import SepoError
from sepo_data.storage.atomic import atomic_write, remove_leftovers
from sepo_data.storage.cache import cache_folder
from sepo_data.storage.hub import explain, reach_files
from sepo_data.storage.location import filesystem, is_remote, public_name
from sepo_data.storage.version import object_version

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

HUB = "hf://"


def fetched(path: Path, *, recursive: bool = False, only: Collection[str] | None = None) -> Path:
    """A local copy of the remote file or folder `path`, under its own name; a local `path` itself.

    A file is downloaded once, and again if its version in the store changes.

    Args:
        path: of a file or a folder.
        recursive: include the subfolders of a folder.
        only: the names of the files to download from a folder.

    Raises:
        SepoError: nothing has that name, or the store refuses it.
    """
    if not is_remote(path):
        return path
    store, found = _files(path, recursive=recursive or only is not None)
    if only is not None:
        found = {inner: info for inner, info in found.items() if inner in only}
    version = {inner: object_version(info) for inner, info in found.items()}
    name = public_name(path)
    identity = hashlib.sha256(json.dumps([name, version], sort_keys=True).encode()).hexdigest()
    copy = cache_folder() / "remote" / identity[:16] / PurePosixPath(name).name
    for inner, info in found.items():
        file = copy / inner if inner else copy
        if not file.resolve().is_relative_to(copy.resolve()):
            raise SepoError(f"{name} holds a file called {inner}, which would be written elsewhere")
        if not file.exists():
            remove_leftovers(cache_folder() / "remote")
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(file) as sink, _store_errors(path):
                store.get_file(info["name"], sink.name)
    return copy


def file_names(path: Path) -> list[str] | None:
    """The names of the files in and below the remote folder `path`, relative to it; None if `path` is a file."""
    found = _files(path, recursive=True)[1]
    return None if "" in found else list(found)


def matching_names(folder: Path, pattern: str) -> list[str]:
    """The names of the files that match a pattern, relative to the remote `folder`."""
    if str(folder).startswith(HUB):
        reach_files(public_name(folder))
    store, name = filesystem(folder)
    start = len(store._strip_protocol(name).rstrip("/")) + 1  # noqa: SLF001 - fsspec's own name for it
    with _store_errors(folder):
        store.invalidate_cache()
        found = store.glob(f"{name.rstrip('/')}/{pattern}", detail=True)
    return [file[start:] for file, info in found.items() if info["type"] == "file"]


def _files(path: Path, *, recursive: bool) -> tuple[Any, dict[str, dict[str, Any]]]:
    """The store, and its properties of each file by the name relative to `path`; "" if `path` is a file."""
    if str(path).startswith(HUB):
        reach_files(public_name(path))
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
    """Make a SepoError of any error: each store has its own errors, without a common class, some without a message."""
    try:
        yield
    except SepoError:
        raise
    except FileNotFoundError:
        raise SepoError(f"{public_name(path)} does not exist", "check the name, and the credentials") from None
    except Exception as error:  # noqa: BLE001 - as above
        if str(path).startswith(HUB) and (explained := explain(error, public_name(path), "dataset")) is not None:
            raise explained from None
        # Some quote the whole URL, with its signature.
        reason = str(error).replace(str(path), public_name(path)) or type(error).__name__
        raise SepoError(
            f"{public_name(path)} cannot be read: {reason}", "check the name, and the credentials"
        ) from None
