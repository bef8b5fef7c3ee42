"""Version of a file: properties that change with its content, locally and in a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepo_data.storage.location import filesystem, is_remote

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OBJECT_KEYS = (
    *("size", "ETag", "etag", "md5Hash", "generation", "blob_id", "created"),
    *("last_modified", "LastModified", "Last-Modified"),
)
"""Properties of an object that change with its content; each store has some of them."""


def file_version(path: Path) -> list[str]:
    """The properties of a file or an object that change with its content, as text.

    Raises:
        FileNotFoundError: there is none.
    """
    if is_remote(path):
        store, name = filesystem(path)
        store.invalidate_cache()
        return object_version(store.info(name))
    facts = path.stat()
    return list(map(str, (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)))


def object_version(info: Mapping[str, Any]) -> list[str]:
    """The version of an object, from its properties in the store."""
    return [str(info.get(key)) for key in OBJECT_KEYS]
