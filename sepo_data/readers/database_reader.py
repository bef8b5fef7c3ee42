"""Rows of SQLite and DuckDB databases: the answer to a query, copied to a plain file once. A query can only read."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from sepo_data.console.text import listed
from sepo_data.errors import SepoError, first_line
from sepo_data.readers.arrow_reader import BATCH_ROWS, read_arrow, write_stream
from sepo_data.readers.json_reader import read_answer
from sepo_data.readers.materialized import cached_copy, content_key
from sepo_data.readers.rows import refuse_equal_columns
from sepo_data.storage.atomic import remove_leftovers, temporary_folder
from sepo_data.storage.cache import cache_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sepo_data.readers.rows import DataFile, Table

DATABASES = (".db", ".sqlite", ".sqlite3", ".duckdb")
DUCKDB_MEMORY = "512MB"  # beyond that, DuckDB writes into the cache folder
MAX_VALUE_BYTES = 256 << 20  # of SQLite, in memory; a row of more than 64 MiB is skipped
_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_HINT = "a query is one SELECT statement"
_TABLES = "SELECT name FROM {} WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"


def copy_answer(
    path: Path, query: str | None, limit: int | None
) -> tuple[Path, Callable[[DataFile, int | None], Table]]:
    """A file with the rows of `query`, or of the only table, and the reader of that file.

    Of SQLite, a JSON lines file, as every value has a type of its own there; a value of bytes that are no text makes a
    line that is not UTF-8, and so a skipped row. Of DuckDB, an Arrow stream.
    """
    with path.open("rb") as file:
        duckdb = file.read(12)[8:] == b"DUCK"
    # Committed rows may be in the log beside the database.
    log = path.with_name(path.name + (".wal" if duckdb else "-wal"))
    content = content_key([path, log] if log.exists() else [path])
    key = sha256(json.dumps([content, query, limit]).encode()).hexdigest()[:32]
    # Whoever writes a query knows its answer; without one, a view in a small file may have rows without end.
    copy = partial(cached_copy, origin=f"the answer of {path}", packed=None if query else path.stat().st_size)
    if duckdb:
        return copy(key, partial(_write_duckdb, path, query, limit)), read_arrow
    return copy(key, partial(_write_sqlite, path, query, limit)), read_answer


def _write_sqlite(path: Path, query: str | None, limit: int | None, sink: BinaryIO) -> None:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as database:
            database.text_factory = _text
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
            tables = [name for (name,) in database.execute(_TABLES.format("sqlite_master"))]
            database.set_authorizer(_only_reading)
            rows = database.execute(query or _whole_table(path, tables))
            if rows.description is None:
                raise SepoError(f"{path} cannot be queried: {query!r} returns no rows", _HINT)
            columns = [name for name, *_ in rows.description]
            refuse_equal_columns(f"the answer of {path}", columns)
            for row in islice(rows, limit):
                values = (_text(value) if isinstance(value, bytes) else value for value in row)
                line = json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=False)
                sink.write(line.encode("utf-8", "surrogateescape") + b"\n")
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise SepoError(f"{path} cannot be queried: {error}", _HINT) from error


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _only_reading(action: int, *_: str | None) -> int:
    """Authorize reading alone: opened read-only, SQLite would still attach and create other files."""
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


def _write_duckdb(path: Path, query: str | None, limit: int | None, sink: BinaryIO) -> None:
    remove_leftovers(cache_folder(), deep=False)
    with temporary_folder(cache_folder() / "duckdb") as spill:
        _write_duckdb_answer(path, query, limit, sink, spill)


def _write_duckdb_answer(path: Path, query: str | None, limit: int | None, sink: BinaryIO, spill: Path) -> None:
    try:
        import duckdb
    except ImportError:
        raise SepoError(f"reading {path} needs the duckdb package", "pip install 'sepo[duckdb]'") from None
    settings: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": False,  # no other file, no network
        "autoload_known_extensions": False,
        "autoinstall_known_extensions": False,
        "memory_limit": DUCKDB_MEMORY,
        "temp_directory": str(spill),
    }
    try:
        with duckdb.connect(str(path), read_only=True, config=settings) as database:
            tables = [
                name for (name,) in database.execute("SELECT table_name FROM information_schema.tables").fetchall()
            ]
            asked = query or _whole_table(path, sorted(tables))
            statements = duckdb.extract_statements(asked)
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise SepoError(f"{path} cannot be queried: {query!r} is no SELECT statement", _HINT)
            batches = database.sql(asked).to_arrow_reader(BATCH_ROWS)
            refuse_equal_columns(f"the answer of {path}", batches.schema.names)
            write_stream(batches.schema, _first_rows(batches, limit), sink)
    except duckdb.Error as error:
        raise SepoError(f"{path} cannot be queried: {first_line(error)}", _HINT) from error


def _first_rows(batches: Any, limit: int | None) -> Iterator[Any]:  # noqa: ANN401 - pyarrow ships no types
    left = limit
    for batch in batches:
        yield batch.slice(0, left)
        if left is not None:
            left -= batch.num_rows
            if left <= 0:
                return


def _whole_table(path: Path, tables: Sequence[str]) -> str:
    if len(tables) == 1:
        return f'SELECT * FROM "{tables[0].replace(chr(34), 2 * chr(34))}"'  # noqa: S608 - a quoted name
    present = f"the tables {listed(tables)}" if tables else "no table"
    raise SepoError(f"{path} holds {present}", "choose rows with --query 'SELECT ... FROM ...'")
