"""Resolve a dataset name to files, a saved dataset, standard input, or nothing (then: the Hub)."""

from __future__ import annotations

import re
import sys
from glob import glob
from pathlib import Path, PurePosixPath

from sepo_data.errors import SepoError
from sepo_data.readers.data_files import files_of_folder, files_of_pattern, files_of_split
from sepo_data.readers.formats import format_of, known_formats, read_pipe
from sepo_data.readers.rows import DataFile
from sepo_data.readers.stage_files import check_recorded, stage_files
from sepo_data.schemas.folder import MANIFEST
from sepo_data.storage.download import fetched, file_names, matching_names
from sepo_data.storage.location import is_remote, location, public_name

PIPE = "-"
SAVED = ("dataset_dict.json", "state.json")
"""The files that `DatasetDict.save_to_disk` and `Dataset.save_to_disk` write last."""

Found = tuple[list[DataFile], str | None] | Path | None
"""Data files and their split, or the folder of a saved dataset, or None if nothing has that name."""


def find(dataset: str, split: str | None, limit: int | None) -> Found:
    """The local files that `dataset` names; those in a store are downloaded.

    Args:
        dataset: a path, a URL, a pattern, or `-` for standard input.
        split: to choose among the files.
        limit: rows that are enough from a pipe.
    """
    if dataset == PIPE:
        if sys.stdin.isatty():
            raise SepoError("- is standard input, and nothing is piped into it", "zcat pairs.gz | sepo check -")
        return [read_pipe(sys.stdin.buffer, "stdin", limit)], None
    if pattern := _pattern(dataset):
        return _of_pattern(*pattern, split)
    path = location(dataset)
    if is_remote(path):
        return _of_store(path, split)
    return _of_machine(path, split, limit)


def _pattern(dataset: str) -> tuple[str, str] | None:
    """The folder before the first wildcard, and the rest; None without wildcards. In a URL `?` begins a query."""
    wildcard = re.search(r"[*\[]" if "://" in dataset else r"[*?\[]", dataset)
    if wildcard is None or Path(dataset).exists():
        return None
    start = dataset.rfind("/", 0, wildcard.start()) + 1
    return dataset[:start] or ".", dataset[start:]


def _of_pattern(folder: str, pattern: str, split: str | None) -> Found:
    path = location(folder)
    if is_remote(path):
        files, split = files_of_pattern(matching_names(path, pattern), split, f"{public_name(folder)}{pattern}")
        return _data_files(fetched(path, only=files), public_name(path), files), split
    # Path.glob rejects patterns such as a**.
    names = [name for name in glob(pattern, root_dir=path, recursive=True) if (path / name).is_file()]  # noqa: PTH207
    files, split = files_of_pattern(names, split, str(path / pattern))
    found = _data_files(path, str(path), files)
    check_recorded(found)
    return found, split


def _of_machine(path: Path, split: str | None, limit: int | None) -> Found:
    if path.is_dir():
        if (shards := stage_files(path, str(path), split)) is not None:
            return shards, None
        if any((path / name).is_file() for name in SAVED):
            return path
        names = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
        files, split = files_of_folder(names, split, str(path))
        found = _data_files(path, str(path), files)
        check_recorded(found)
        return found, split
    if path.is_file():
        found, split = _one_file(path, split)
        check_recorded(found)
        return found, split
    if path.exists():
        with path.open("rb") as stream:  # a shell's <(command), whose name changes each time
            return [read_pipe(stream, "pipe", limit)], None
    return None


def _of_store(path: Path, split: str | None) -> Found:
    names = file_names(path)
    if names is None:
        return _one_file(path, split)
    if MANIFEST in names and (shards := stage_files(fetched(path, recursive=True), public_name(path), split)):
        return shards, None
    if any(name in names for name in SAVED):
        return fetched(path, recursive=True)
    files, split = files_of_folder(names, split, public_name(path))
    return _data_files(fetched(path, only=files), public_name(path), files), split


def _one_file(path: Path, split: str | None) -> tuple[list[DataFile], str | None]:
    name = PurePosixPath(public_name(path)).name
    suffix = format_of(name)
    if suffix is None:
        raise SepoError(f"{public_name(path)} has no format that sepo reads", f"it reads {known_formats()}")
    _, split = files_of_split([name], split, public_name(path))
    return [DataFile(fetched(path), public_name(path), name, suffix)], split


def _data_files(folder: Path, address: str, names: list[str]) -> list[DataFile]:
    return [DataFile(folder / name, f"{address.rstrip('/')}/{name}", name, format_of(name) or "") for name in names]
