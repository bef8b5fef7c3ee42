"""Locations: local paths, and URLs of the stores that fsspec supports, such as s3://bucket/folder.

A local location is a `pathlib.Path`. Any other is a `UPath`, which has the same methods; types here say `Path` for
both.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from sepo_data.errors import SepoError

_URL = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
_STORES = {"adlfs", "aiobotocore", "aiohttp", "botocore", "fsspec", "gcsfs", "google", "s3fs"}
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}


def location(text: str | os.PathLike[str]) -> Path:
    """The location that `text` names: a `Path` if it is local (also file://), else a `UPath`.

    Raises:
        SepoError: no installed package supports the protocol.
    """
    if isinstance(text, Path) or hasattr(text, "fs"):
        return cast("Path", text)
    text = os.fspath(text)
    if not _URL.match(text):
        return Path(text)
    protocol = text.split(":", 1)[0].lower()
    if protocol in {"file", "local"}:
        return Path(unquote(urlsplit(text).path))
    # A URL that went through pathlib has one slash instead of two.
    return _remote(protocol, text.split(":", 1)[1].lstrip("/"))


def _remote(protocol: str, rest: str) -> Path:
    needed = " ".join(dict.fromkeys(["universal_pathlib", _PACKAGES.get(protocol, "fsspec")]))
    try:
        from upath import UPath

        # Other processes write there, too, so cached listings are out of date.
        path = UPath(f"{protocol}://{rest}", use_listings_cache=False)
        _ = path.fs  # imports the package for the protocol
    except ImportError as error:
        raise SepoError(
            f"{protocol}:// needs a package that is not installed ({error})", f"pip install {needed}"
        ) from None
    except ValueError as error:
        raise SepoError(
            f"{protocol}://{rest}: {error}", "sepo reads and writes s3://, gs://, hf:// and local paths"
        ) from None
    return cast("Path", path)


def local_folder(path: str | Path) -> Path:
    """The folder that `path` names on this machine, where models are written.

    Raises:
        SepoError: it is in a store.
    """
    folder = location(path)
    if is_remote(folder):
        raise SepoError(f"{public_name(folder)}: models are written to a folder on this machine", "name a local folder")
    return folder


def is_remote(path: Path) -> bool:
    """True if `path` is in a store, not local."""
    return not isinstance(path, Path)


def public_name(path: str | Path) -> str:
    """The name of a location for records and messages: a URL without password and signature."""
    text = str(path)
    if "://" not in text:
        return text
    parts = urlsplit(text)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def make_folder(path: Path) -> None:
    """Make a folder and its parents. A store has no folders apart from the names of objects."""
    if not is_remote(path):
        path.mkdir(parents=True, exist_ok=True)


def filesystem(path: Path) -> tuple[Any, str]:
    """The fsspec filesystem of a remote `path`, and its name there."""
    remote = cast("Any", path)
    return remote.fs, remote.path


def read_text(path: Path) -> str:
    """Read a text file, UTF-8. An object is read in one request, as another process may replace it at any time."""
    if not is_remote(path):
        return path.read_text(encoding="utf-8")
    store, key = filesystem(path)
    return str(store.cat_file(key).decode())


def upload(file: str, path: Path) -> None:
    """Make the object `path` of a local file: completely, or not at all if the upload fails."""
    store, name = filesystem(path)
    store.put_file(file, name)


def is_store_error(error: BaseException) -> bool:
    """True if `error` is that of a store or of the connection to it: stores have no common class of errors."""
    return type(error).__module__.partition(".")[0] in _STORES


def remove_tree(path: Path) -> None:
    """Delete a file, or a folder with its content."""
    if is_remote(path):
        store, name = filesystem(path)
        store.rm(name, recursive=True)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
