"""The data files of a folder or a pattern, chosen by their names alone: no other file is opened or downloaded."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from sepo_data.console.text import listed
from sepo_data.errors import SepoError
from sepo_data.readers.formats import format_of, reader_of
from sepo_data.readers.splits import choose_split, split_of_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_HIDDEN = re.compile(r"(^|/)\.")
_NO_DATA = re.compile(r"(README|LICENSE)\.\w+|(dataset_infos?|state|sepo)\.json", re.IGNORECASE)


def files_of_folder(names: Iterable[str], split: str | None, folder: str) -> tuple[list[str], str | None]:
    """The data files of one split, sorted, and the name of the split.

    Data files are those in the folder itself; if it has none, those below its only subfolder, or below subfolders named
    after splits.

    Args:
        names: of all files in and below the folder.
        split: the split to choose.
        folder: its name in errors.

    Raises:
        SepoError: there are none, or the choice is ambiguous: data files of two formats, or beside folders of others.
    """
    data = data_names(names)
    files = [name for name in data if "/" not in name]
    folders = sorted({name.split("/", 1)[0] for name in data if "/" in name})
    if files and folders:
        raise SepoError(
            f"{folder} holds data files and folders of others: {listed([*files, *(f'{name}/' for name in folders)])}",
            "name one of them, or all with a pattern as '**/*.jsonl'",
        )
    if not files and (len(folders) == 1 or all(split_of_file(f"{name}.x") for name in folders)):
        files = data
    if not files:
        hint = f"name one of its folders: {listed(f'{name}/' for name in folders)}, or a pattern as '*/*.jsonl'"
        raise SepoError(f"{folder} holds no data file", hint if folders else "")
    files, split = files_of_split(files, split, folder)
    if len({reader_of(name) for name in files}) > 1:
        # Two formats more often hold the same rows than different ones.
        raise SepoError(
            f"{folder} holds files of several formats: {listed(files)}",
            "name one of them, or all with a pattern as '*'",
        )
    return files, split


def files_of_pattern(names: Iterable[str], split: str | None, pattern: str) -> tuple[list[str], str | None]:
    """The data files among `names`, which match a pattern, sorted; with `split`, those of that split."""
    files = data_names(names)
    if not files:
        raise SepoError(f"no data file matches {pattern}", "quote the pattern, so that the shell does not expand it")
    splits = {_split_of(name) for name in files}
    if split is None:
        return files, splits.pop() if len(splits) == 1 else None
    return files_of_split(files, split, pattern)


def data_names(names: Iterable[str]) -> list[str]:
    """The names of files with rows, sorted; without hidden files and the JSON files that describe a dataset."""
    return sorted(
        name
        for name in names
        if format_of(name) and not _HIDDEN.search(name) and not _NO_DATA.fullmatch(PurePosixPath(name).name)
    )


def files_of_split(files: Sequence[str], split: str | None, place: str) -> tuple[list[str], str | None]:
    """The files of one split, and the split. As on the Hub, a file name or a folder name is that of a split."""
    splits = {name: _split_of(name) for name in files}
    present = list(dict.fromkeys(name for name in splits.values() if name))
    if not present:
        if split:
            raise SepoError(f"{place}: no file name contains a split such as {split}", "leave out --split")
        return list(files), None
    if not split and None in splits.values():
        raise SepoError(
            f"{place} holds files with a split in their names and others: {listed(files)}",
            "name one of the files, or choose the files of one split with --split",
        )
    chosen = choose_split(present, split, place)
    if not split and (others := [name for name in present if name != chosen and name.lower().startswith(chosen)]):
        raise SepoError(
            f"{place} holds {chosen} and {listed(others)}, which may belong to it",
            f"choose one with --split, or read all with a pattern as '{chosen}*'",
        )
    return [name for name in files if splits[name] == chosen], chosen


def _split_of(name: str) -> str | None:
    """The split in the name of the file, else in that of the nearest folder."""
    *folders, file = name.split("/")
    return split_of_file(file) or next(filter(None, (split_of_file(f"{part}.x") for part in folders[::-1])), None)
