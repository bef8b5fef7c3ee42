"""Where rows come from: data files, here, in a store or through a pipe, a saved `datasets` directory, or the Hub."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sepo_data.console.suggest import did_you_mean, listed
from sepo_data.errors import HubError, SepoError
from sepo_data.readers.database_reader import DATABASES
from sepo_data.readers.find import find
from sepo_data.readers.formats import kind_of, names_keys, read_file
from sepo_data.readers.hub_reader import read_hub, read_saved, stream_hub
from sepo_data.readers.rows import DataFile, Row, Table
from sepo_data.readers.text_reader import COLUMN_ROWS
from sepo_data.storage.cache import remembered
from sepo_data.storage.location import public_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Row", "Source", "open_source"]

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)

Content = tuple[str, Path, int | None]
"""What a fingerprint is of: the name of a file, where it is, and how many of its bytes; None stands for all."""


@dataclass(frozen=True)
class Source:
    """Rows in a fixed order, as often as needed; how many, and a fingerprint of what they were read from.

    It can be pickled: another process reads the same rows without looking for them again.
    """

    name: str  # as the user typed it
    split: str | None
    fingerprint: str  # SHA-256, 64 hex digits: equal for equal content in any folder
    rows: int  # the bad ones too
    columns: tuple[str, ...]
    read: Callable[[int, int], Iterator[Row]] = field(repr=False, compare=False)

    def __iter__(self) -> Iterator[Row]:
        return self.slice(0, self.rows)

    def slice(self, start: int, stop: int) -> Iterator[Row]:
        """The rows from `start` to `stop`. Reading begins near `start`, whatever they are read from."""
        expected = start
        for row in self.read(start, stop):
            yield row
            expected += 1
        if expected < min(stop, self.rows):
            raise SepoError(f"{self.name} has lost rows since it was opened: row {expected} of {self.rows} is missing")


def open_source(
    dataset: str,
    *,
    split: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    query: str | None = None,
    streaming: bool = False,
    limit: int | None = None,
) -> Source:
    """Find what `dataset` names, count its rows and take its fingerprint.

    Args:
        dataset: a path or a URL of a file or a folder; a pattern of such; a Hub id; or `-` for standard input.
        split: of a folder, a pattern, a saved dataset or a Hub dataset.
        config: of a Hub dataset.
        revision: of a Hub dataset: a branch, a tag or a commit.
        query: of SQLite and DuckDB databases: one SELECT statement.
        streaming: of a Hub dataset: fetch rows, not whole files.
        limit: rows that are enough, or the first 1000, if that is more: the columns and the shape are told from those.
            A plain text file is read no further, and its fingerprint is that of the bytes up to there; so it is with
            the answer to a query and a pipe. Any other file has the fingerprint of all its bytes; a Hub dataset, that
            of its commit.

    Raises:
        SepoError: there is nothing of that name, or it cannot be read.
        HubError: the Hub cannot be reached, or has no such dataset.
    """
    if not dataset:
        raise SepoError("the name of the dataset is empty", "maybe a shell variable is not set; . is this folder")
    if query is not None and not query.strip():
        raise SepoError("the query is empty", "leave out --query for the only table of a database")
    limit = limit and max(limit, COLUMN_ROWS)
    try:
        found = find(dataset, split, limit)
        if query and not (isinstance(found, tuple) and any(file.kind in DATABASES for file in found[0])):
            raise SepoError(f"{public_name(dataset)} is no database that a query could be asked", "leave out --query")
        if found is None:
            table, split, fingerprint = _of_hub(dataset, split, config, revision, limit, streaming=streaming)
        elif config or revision:
            options = "configs" if config else "revisions"
            raise SepoError(f"{public_name(dataset)} is found outside the Hub, where datasets have no {options}")
        elif streaming:
            raise SepoError(
                f"{public_name(dataset)} is found outside the Hub, where nothing is streamed",
                "leave out --streaming: files are never read into memory as a whole",
            )
        elif isinstance(found, Path):
            table, split, shards = read_saved(found, split)
            fingerprint = _fingerprint([(shard.name, shard, None) for shard in shards])
        else:
            files, split = found
            table, fingerprint = _of_files(public_name(dataset), files, query, limit)
    except OSError as error:
        raise SepoError(f"{public_name(dataset)} cannot be read: {error.strerror or error}") from error
    return _checked(Source(public_name(dataset), split, fingerprint, table.rows, table.columns, table.read))


def _of_files(place: str, files: Sequence[DataFile], query: str | None, limit: int | None) -> tuple[Table, str]:
    """The rows of files, one file after the other, until there are enough; their fingerprint.

    The files have the same columns. Where rows name theirs, it is enough that the files share some: others are
    optional.
    """
    tables: list[Table] = []
    contents: list[Content] = []
    for file in files:
        left = limit and limit - sum(table.rows for table in tables)
        if left is not None and left <= 0:
            break
        table, content = read_file(file, left, query)
        tables.append(table)
        contents.append((file.name, content, table.end))
    columns = [table.columns for table in tables if table.columns]
    differ = any(set(others) != set(columns[0]) for others in columns)
    if differ and not (all(names_keys(file.kind) for file in files) and set.intersection(*map(set, columns))):
        each = "; ".join(f"{f.name}: {listed(t.columns)}" for f, t in zip(files, tables, strict=False))
        raise SepoError(f"the files of {place} differ in their columns. {each}", "name one of them")
    rows = sum(table.rows for table in tables)
    return Table(tuple(dict.fromkeys(chain(*columns))), rows, partial(_read, tables)), _fingerprint(contents)


def _read(tables: Sequence[Table], start: int, stop: int) -> Iterator[Row]:
    first = 0
    for table in tables:
        if start < first + table.rows and stop > first:
            for row in table.read(max(start - first, 0), min(stop - first, table.rows)):
                yield Row(first + row.number, row.value, row.problem, row.detail)
        first += table.rows


def _fingerprint(contents: Sequence[Content]) -> str:
    """SHA-256 of names, sizes and bytes, in order. The folder they lie in may move."""

    def digest() -> str:
        total = hashlib.sha256()
        for name, file, end in contents:
            left = file.stat().st_size if end is None else end
            total.update(f"{name}\0{left}\0".encode("utf-8", "surrogateescape"))
            with file.open("rb") as handle:
                while left and (chunk := handle.read(min(1 << 20, left))):
                    total.update(chunk)
                    left -= len(chunk)
        return total.hexdigest()

    question = f"fingerprint {[(name, end) for name, _, end in contents]}"
    return cast("str", remembered(question, [file for _, file, _ in contents], digest))


def _of_hub(
    dataset: str, split: str | None, config: str | None, revision: str | None, limit: int | None, *, streaming: bool
) -> tuple[Table, str, str]:
    """What the Hub has under this name. The errors tell what else the name was tried as."""
    path = Path(dataset)
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = did_you_mean(path.name, siblings)
    # `data/pairs.jsonl` could be a Hub id, but whoever types it means a file.
    if not _HUB_ID.fullmatch(dataset) or kind_of(path.name):
        raise SepoError(f"{dataset}: no such file or folder, and it is no Hub id (name or user/name) either", hint)
    try:
        if streaming:
            table, split, commit = stream_hub(dataset, split, config, revision, limit)
        else:
            table, split, commit = read_hub(dataset, split, config, revision)
    except HubError as error:
        message = f"{dataset}: no such file or folder, and as a Hub id: {error}"
        raise HubError(message, "; or ".join(filter(None, [hint, error.hint]))) from None
    return table, split, hashlib.sha256(json.dumps([dataset, commit, config, split]).encode()).hexdigest()


def _checked(source: Source) -> Source:
    """A source with rows and columns."""
    if not source.rows:
        raise SepoError(f"{source.name} has no rows")
    if not source.columns:
        first = next(source.slice(0, 1))
        raise SepoError(
            f"{source.name} has no columns: {first.problem or 'nothing'} in {first.detail}",
            "each row is one JSON object",
        )
    return source
