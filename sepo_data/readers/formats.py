"""File formats: detected by suffix or magic bytes, each with its reader."""

from __future__ import annotations

import codecs
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from sepo_data.console.text import listed
from sepo_data.errors import SepoError
from sepo_data.readers.arrow_reader import read_arrow, read_parquet
from sepo_data.readers.csv_reader import DELIMITERS, read_csv, read_tsv
from sepo_data.readers.database_reader import DATABASES, copy_answer
from sepo_data.readers.json_reader import read_json, read_json_lines
from sepo_data.readers.materialized import COMPRESSIONS, decompressed, piped
from sepo_data.readers.rows import DataFile, Table
from sepo_data.readers.text_reader import ENCODINGS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


READERS: dict[str, Callable[[DataFile, int | None], Table]] = {
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
    ".arrow": read_arrow,
    ".feather": read_arrow,
}
_MAGIC = {
    b"PAR1": ".parquet",
    b"ARROW1": ".arrow",
    b"\xff\xff\xff\xff": ".arrow",  # a stream: the marker of its first message
    **dict.fromkeys(ENCODINGS, ".jsonl"),  # whose reader explains the conversion to UTF-8
    b"\x1f\x8b": ".gz",
    b"\x28\xb5\x2f\xfd": ".zst",
}


def format_of(name: str) -> str | None:
    """The format of a file by its name, as suffixes (".jsonl.gz"); None if it holds no rows."""
    plain, compression = _split_compression(name.lower())
    suffixes = READERS if compression else [*READERS, *DATABASES]
    suffix = next((suffix for suffix in suffixes if plain.endswith(suffix)), None)
    return suffix and suffix + compression


def reader_of(name: str) -> object:
    """The reader of a file by its name, compressed or not: equal for files of one format."""
    return READERS.get(_split_compression(format_of(name) or "")[0])


def takes_delimiter(name: str) -> bool:
    """True if a file of this format has its fields between delimiters."""
    return reader_of(name) in {read_csv, read_tsv}


def rows_name_columns(name: str) -> bool:
    """True if each row of a file of this format names its columns, so that rows may lack optional columns."""
    return reader_of(name) in {read_json_lines, read_json}


def known_formats() -> str:
    """All formats, for messages."""
    return f"{listed(READERS)} (each also with {' or '.join(COMPRESSIONS)}), {listed(DATABASES)}"


def format_of_content(path: Path, name: str) -> str:
    """The format of a file without a suffix, by its first bytes.

    Raises:
        SepoError: the file is empty, or of no known format.
    """
    with path.open("rb") as file:
        head = file.read(1 << 16)
    for magic, suffix in _MAGIC.items():
        if head.startswith(magic):
            return suffix
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text[:1] in {b"{", b"["}:
        return ".json"
    header = text.split(b"\n", 1)[0]
    if not header:
        raise SepoError(f"{name} is empty")
    if not any(character.encode() in header for character in DELIMITERS):
        raise SepoError(f"{name} is neither JSON, CSV, TSV, Arrow nor Parquet", "give a file with a suffix")
    return ".csv" if header.count(b",") >= header.count(b"\t") else ".tsv"


def read_file(file: DataFile, limit: int | None, query: str | None) -> tuple[Table, Path]:
    """The rows of a file, at least the first `limit`; and the file whose bytes decide them."""
    if file.format in DATABASES:
        rows, read_copy = copy_answer(file.path, query, limit)
        return read_copy(replace(file, path=rows), limit), rows
    suffix, compression = _split_compression(file.format)
    if not compression:
        return READERS[suffix](file, limit), file.path

    def read(plain: Path) -> Table:
        inner = suffix or format_of_content(plain, file.address)
        if inner in COMPRESSIONS:
            raise SepoError(f"{file.address} is compressed twice", "decompress it once")
        return READERS[inner](replace(file, path=plain), limit)

    return read(decompressed(file, compression, limit, lambda plain: _is_enough(read, plain))), file.path


def read_pipe(stream: BinaryIO, name: str, limit: int | None) -> DataFile:
    """Content of a pipe, as a file; its first bytes decide the format."""

    def read(plain: Path) -> Table:
        return read_file(_piped_file(plain, name), limit, None)[0]

    return _piped_file(piped(stream, name, limit, lambda plain: _is_enough(read, plain)), name)


def _piped_file(path: Path, name: str) -> DataFile:
    return DataFile(path, name, name, format_of_content(path, name))


def _is_enough(read: Callable[[Path], Table], beginning: Path) -> bool:
    """True if the beginning of a file holds more rows than its limit. Before that, its end may be cut."""
    try:
        return read(beginning).end is not None
    except SepoError:
        return False


def _split_compression(name: str) -> tuple[str, str]:
    compression = next((suffix for suffix in COMPRESSIONS if name.endswith(suffix)), "")
    return name.removesuffix(compression), compression
