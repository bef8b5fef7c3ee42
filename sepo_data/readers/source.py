"""Open a dataset: local or remote data files, a pipe, a saved `datasets` directory, or the Hub."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sepo_data.console.text import did_you_mean, listed
from sepo_data.errors import HubError, SepoError
from sepo_data.readers.csv_reader import parse_delimiter
from sepo_data.readers.database_reader import DATABASES
from sepo_data.readers.find import Found, find
from sepo_data.readers.formats import format_of, read_file, rows_name_columns, takes_delimiter
from sepo_data.readers.hub_reader import read_hub, read_saved, stream_hub
from sepo_data.readers.rows import DataFile, Row, Table
from sepo_data.readers.text_reader import COLUMN_ROWS
from sepo_data.storage.cache import cached_fact
from sepo_data.storage.hub import HUB_ID
from sepo_data.storage.location import public_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Content = tuple[str, Path, int | None]
"""Part of a fingerprint: the name of a file, its path, and the number of bytes that count; None for all."""


@dataclass(frozen=True)
class Source:
    """Rows in a fixed order, which can be read any number of times, with their number and a fingerprint.

    It can be pickled: another process reads the same rows without resolving the name again.
    """

    name: str  # as the user typed it, without a password or signature
    split: str | None
    fingerprint: str  # SHA-256, 64 hex digits: equal for equal content in any folder
    rows: int  # unusable rows included
    columns: tuple[str, ...]
    read: Callable[[int, int], Iterator[Row]] = field(repr=False, compare=False)

    def __iter__(self) -> Iterator[Row]:
        return self.slice(0, self.rows)

    def slice(self, start: int, stop: int) -> Iterator[Row]:
        """The rows from `start` to `stop`. Reading begins near `start` in every format."""
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
    delimiter: str | None = None,
    streaming: bool = False,
    limit: int | None = None,
) -> Source:
    """Resolve `dataset`, count its rows and compute its fingerprint.

    Args:
        dataset: a path or a URL of a file or a folder; a pattern of such; a Hub id; or `-` for standard input.
        split: of a folder, a pattern, a saved dataset or a Hub dataset.
        config: of a Hub dataset.
        revision: of a Hub dataset: a branch, a tag or a commit.
        query: of SQLite and DuckDB databases: one SELECT statement.
        delimiter: of CSV and TSV files: the character between fields, or its name.
        streaming: of a Hub dataset: download rows, not files.
        limit: the number of rows that are enough; at least 1000 are read, which decide columns and shape. A plain text
            file, the answer to a query and a pipe are read no further, and the fingerprint is that of the bytes read.
            Any other file has the fingerprint of all its bytes; a Hub dataset, that of its commit.

    Raises:
        SepoError: nothing has that name, or it cannot be read.
        HubError: the Hub cannot be reached, or has no such dataset.
    """
    if not dataset:
        raise SepoError("the name of the dataset is empty", "a shell variable may be unset; . is this folder")
    if query is not None and not query.strip():
        raise SepoError("the query is empty", "leave out --query for the only table of a database")
    limit = limit and max(limit, COLUMN_ROWS)
    try:
        found = find(dataset, split, limit)
        if query and not (isinstance(found, tuple) and any(file.format in DATABASES for file in found[0])):
            raise SepoError(f"{public_name(dataset)} is no database, so it takes no query", "leave out --query")
        if delimiter is not None:
            found = _delimited(found, delimiter, public_name(dataset))
        if found is None:
            table, split, fingerprint = _of_hub(dataset, split, config, revision, limit, streaming=streaming)
        elif config or revision:
            options = "configs" if config else "revisions"
            raise SepoError(f"{public_name(dataset)} is found outside the Hub, where datasets have no {options}")
        elif streaming:
            raise SepoError(
                f"{public_name(dataset)} is found outside the Hub, where nothing is streamed",
                "leave out --streaming: no file is read into memory completely",
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


def _delimited(found: Found, delimiter: str, place: str) -> Found:
    """The data files, with the delimiter between their fields."""
    files, split = found if isinstance(found, tuple) else ([], None)
    if not any(takes_delimiter(file.format) for file in files):
        raise SepoError(f"{place} is no CSV file, so it takes no delimiter", "leave out --delimiter")
    character = parse_delimiter(delimiter)
    return [replace(file, delimiter=character) for file in files], split


def _of_files(place: str, files: Sequence[DataFile], query: str | None, limit: int | None) -> tuple[Table, str]:
    """The rows of files, one file after the other, until `limit` is reached; and their fingerprint.

    The files have the same columns. In formats whose rows name their columns, it is enough that the files share some.
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
    if differ and not (all(rows_name_columns(file.format) for file in files) and set.intersection(*map(set, columns))):
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
    """SHA-256 of names, sizes and bytes, in order; independent of the folder."""

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
    return cast("str", cached_fact(question, [file for _, file, _ in contents], digest))


def _of_hub(
    dataset: str, split: str | None, config: str | None, revision: str | None, limit: int | None, *, streaming: bool
) -> tuple[Table, str, str]:
    """The Hub dataset of this name. Errors also name what the name was tried as before."""
    path = Path(dataset)
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = did_you_mean(path.name, siblings)
    # `data/pairs.jsonl` could be a Hub id, but is more often a mistyped file.
    if not HUB_ID.fullmatch(dataset) or format_of(path.name):
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
    """The source itself; raises if it has no rows or no columns."""
    if not source.rows:
        raise SepoError(f"{source.name} has no rows")
    if not source.columns:
        first = next(source.slice(0, 1))
        raise SepoError(
            f"{source.name} has no columns: {first.problem or 'nothing'} in {first.detail}",
            "each row is one JSON object",
        )
    return source
