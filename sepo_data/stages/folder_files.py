"""Files of a folder inside of a stage directory, such as the tokenizer's: written together, left alone while whole."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sepo_data.readers.shard_faults import foreign_files
from sepo_data.schemas.folder import MANIFEST
from sepo_data.stages.directory import is_complete, read_manifest
from sepo_data.stages.runs import directory_lock, drop_records
from sepo_data.storage.atomic import atomic_write, scratch_folder, write_text
from sepo_data.storage.location import make_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sepo_data.schemas.manifest import Manifest


def saved_files(save: Callable[[Path], object]) -> dict[str, bytes]:
    """The files that `save` writes into the folder it is given, by their names there."""
    with scratch_folder() as scratch:
        folder = scratch / "saved"
        folder.mkdir()
        save(folder)
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def recorded_files(path: Path, manifest: Manifest) -> dict[str, str]:
    """The hashes in `manifest`, if the files in `path` have all of them and no other file is there; else nothing."""
    whole = all(sha256 == _present(path / name) for name, sha256 in manifest.files.items())
    return manifest.files if whole and not foreign_files(path, manifest) else {}


def write_files(path: Path, manifest: Manifest, files: dict[str, bytes]) -> list[str]:
    """Write those of `files` that the stage directory `path` has not; delete what its `manifest` never had beside them.

    Returns:
        The names of the files that were added or replaced.
    """
    hashes = file_hashes(files)
    foreign = set(foreign_files(path, manifest)) - files.keys()
    wanted = [name for name, sha256 in hashes.items() if _present(path / name) != sha256]
    if not wanted and not foreign:
        return []
    with directory_lock(path):
        for name in foreign:
            (path / name).unlink(missing_ok=True)
        for name in wanted:
            if _present(path / name) != hashes[name]:  # another process may have written it meanwhile
                make_folder((path / name).parent)
                with atomic_write(path / name) as sink:
                    sink.write(files[name])
        if is_complete(path):
            write_text(path / MANIFEST, read_manifest(path).model_copy(update={"files": hashes}).to_json())
            drop_records(path)
    return wanted


def file_hashes(files: dict[str, bytes]) -> dict[str, str]:
    """SHA-256 of each of `files`, by its name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def _present(file: Path) -> str:
    """SHA-256 of `file`; empty where there is none."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
