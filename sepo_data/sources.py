"""Where rows come from: a data file or folder, here or in a store, a saved `datasets` directory, or the Hub."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import HubError, SepoError
from sepo_data.arrow_rows import read_arrow, read_parquet
from sepo_data.fetch import fetched
from sepo_data.hf_rows import is_saved, read_hub, read_saved
from sepo_data.location import is_remote, location, public_name
from sepo_data.rows import Row, Table
from sepo_data.splits import choose_split, split_of_file
from sepo_data.suggest import did_you_mean, listed
from sepo_data.text_rows import read_csv, read_json, read_json_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Row", "Source", "open_source"]

READERS: dict[str, Callable[[Path], Table]] = {
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
    ".csv": read_csv,
    ".parquet": read_parquet,
    ".arrow": read_arrow,
    ".jsonl.gz": read_json_lines,
    ".ndjson.gz": read_json_lines,
    ".json.gz": read_json,
    ".csv.gz": read_csv,
}
_NO_DATA = re.compile(r"\.|README|LICENSE|dataset_infos?\.json$", re.IGNORECASE)  # beginnings of file names
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)


@dataclass(frozen=True)
class Source:
    """Rows in a fixed order, as often as needed; how many, and a fingerprint of what they were read from."""

    name: str  # as the user typed it
    split: str | None
    fingerprint: str  # SHA-256, 64 hex digits: equal for equal content in any folder
    rows: int  # the bad ones too
    columns: tuple[str, ...]
    read: Callable[[int, int], Iterator[Row]] = field(repr=False, compare=False)

    def __iter__(self) -> Iterator[Row]:
        return self.slice(0, self.rows)

    def slice(self, start: int, stop: int) -> Iterator[Row]:
        """The rows from `start` to `stop`: Parquet and Arrow begin there, text is read forward to it."""
        expected = start
        for row in self.read(start, stop):
            yield row
            expected += 1
        if expected < min(stop, self.rows):
            raise SepoError(f"{self.name} has lost rows since it was opened: row {expected} of {self.rows} is missing")


def open_source(dataset: str, *, split: str | None = None, config: str | None = None) -> Source:
    """Find what `dataset` names, count its rows and take its fingerprint. Nothing there: SepoError or HubError."""
    found = location(dataset)
    path = fetched(found)
    if config and path.exists():
        place = "in a store" if is_remote(found) else "on this machine"
        raise SepoError(f"{dataset} is {place}, where datasets have no configs", "leave out --config")
    if path.is_dir() and is_saved(path):
        table, split, files = read_saved(path, split)
        fingerprint = _fingerprint(files)
    elif path.exists():
        files, split = _files_of_split(path, split)
        table, fingerprint = _joined(path, files), _fingerprint(files)
    else:
        table, split, revision = _from_hub(dataset, split, config)
        fingerprint = hashlib.sha256(json.dumps([dataset, revision, config, split]).encode()).hexdigest()
    if not table.rows:
        raise SepoError(f"{dataset} has no rows")
    if not table.columns:
        first = next(table.read(0, 1))
        raise SepoError(
            f"{dataset} has no columns: {first.problem or 'nothing'} in {first.detail}", "each row is one JSON object"
        )
    return Source(public_name(dataset), split, fingerprint, table.rows, table.columns, table.read)


def _suffix(path: Path) -> str | None:
    """Which of `READERS` a file name asks for."""
    return next((suffix for suffix in READERS if path.name.lower().endswith(suffix)), None)


def _files_of_split(path: Path, split: str | None) -> tuple[list[Path], str | None]:
    """The data files that `path` and `split` name, sorted. File names tell the split, as on the Hub."""
    if path.is_file():
        if _suffix(path) is None:
            raise SepoError(f"{path} is of no kind that sepo reads", f"it reads {listed(READERS)}")
        files = [path]
    else:
        present = sorted(file for file in path.iterdir() if file.is_file() and not _NO_DATA.match(file.name))
        files = [file for file in present if _suffix(file)]
    if not files:
        folders = sorted(entry.name + "/" for entry in path.iterdir() if entry.is_dir())
        raise SepoError(f"{path} holds no data file", f"name one of its folders: {listed(folders)}" if folders else "")
    splits = {file: split_of_file(file.name) for file in files}
    names = list(dict.fromkeys(name for name in splits.values() if name))
    if not names:
        if split:
            raise SepoError(f"{path}: no file name tells of a split {split}", "leave out --split")
        return files, None
    if not split and None in splits.values():
        raise SepoError(
            f"{path} holds files with a split in their names and others: {listed(f.name for f in files)}",
            "name one of the files, or choose the files of one split with --split",
        )
    chosen = choose_split(names, split, str(path))
    return [file for file in files if splits[file] == chosen], chosen


def _joined(path: Path, files: Sequence[Path]) -> Table:
    """The rows of files of one kind and with the same columns, one file after the other."""
    readers = {READERS[_suffix(file) or ""] for file in files}
    if len(readers) > 1:
        raise SepoError(f"{path} holds files of several kinds: {listed(f.name for f in files)}", "name one of them")
    reader = readers.pop()
    tables = [reader(file) for file in files]
    columns = [table.columns for table in tables if table.columns]
    if any(set(others) != set(columns[0]) for others in columns):
        each = "; ".join(f"{f.name}: {listed(t.columns)}" for f, t in zip(files, tables, strict=True))
        raise SepoError(f"the files of {path} differ in their columns. {each}", "name one of them")

    def read(start: int, stop: int) -> Iterator[Row]:
        first = 0
        for table in tables:
            if start < first + table.rows and stop > first:
                for row in table.read(max(start - first, 0), min(stop - first, table.rows)):
                    yield Row(first + row.number, row.value, row.problem, row.detail)
            first += table.rows

    return Table(columns[0] if columns else (), sum(table.rows for table in tables), read)


def _fingerprint(files: Sequence[Path]) -> str:
    """SHA-256 of names, sizes and bytes, in order. The folder they lie in may move."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as handle:
            while chunk := handle.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _from_hub(dataset: str, split: str | None, config: str | None) -> tuple[Table, str, str]:
    """What the Hub has under this name. The errors tell what else the name was tried as."""
    path = Path(dataset)
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = did_you_mean(path.name, siblings)
    # `data/pairs.jsonl` could be a Hub id, but whoever types it means a file.
    if not _HUB_ID.fullmatch(dataset) or _suffix(path):
        raise SepoError(f"{dataset}: no such file or folder, and it is no Hub id (name or user/name) either", hint)
    try:
        return read_hub(dataset, split, config)
    except HubError as error:
        message = f"{dataset}: no such file or folder, and as a Hub id: {error}"
        raise HubError(message, "; or ".join(filter(None, [hint, error.hint]))) from None
