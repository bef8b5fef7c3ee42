"""Which kinds of files hold rows, and how each is read. Names tell the kind, or else the first bytes."""

from __future__ import annotations

import codecs
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from sepo_data.console.suggest import listed
from sepo_data.errors import SepoError
from sepo_data.readers.arrow_reader import read_arrow, read_parquet
from sepo_data.readers.csv_reader import read_csv, read_tsv
from sepo_data.readers.database_reader import DATABASES, answer
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
    b"\xff\xff\xff\xff": ".arrow",  # a stream: the mark of its first message
    **dict.fromkeys(ENCODINGS, ".jsonl"),  # whose reader says what to do
    b"\x1f\x8b": ".gz",
    b"\x28\xb5\x2f\xfd": ".zst",
}


def kind_of(name: str) -> str | None:
    """The suffixes of a file that holds rows, None for any other."""
    plain, compression = _split_compression(name.lower())
    suffixes = READERS if compression else [*READERS, *DATABASES]
    suffix = next((suffix for suffix in suffixes if plain.endswith(suffix)), None)
    return suffix and suffix + compression


def reader_of(name: str) -> object:
    """The same for two files that are read in the same way, compressed or not."""
    return READERS.get(_split_compression(kind_of(name) or "")[0])


def names_keys(kind: str) -> bool:
    """Whether every row of such a file names its own columns, so that some rows may lack an optional one."""
    return reader_of(kind) in {read_json_lines, read_json}


def known_kinds() -> str:
    return f"{listed(READERS)} (each also with {' or '.join(COMPRESSIONS)}), {listed(DATABASES)}"


def kind_of_content(path: Path, name: str) -> str:
    """The kind of a file whose name does not tell it."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text[:1] in {b"{", b"["}:
        return ".json"
    header = text.split(b"\n", 1)[0]
    if not header:
        raise SepoError(f"{name} is empty")
    if b"," not in header and b"\t" not in header:
        raise SepoError(f"{name} is neither JSON, CSV, TSV, Arrow nor Parquet", "a file name would tell the kind")
    return ".csv" if header.count(b",") >= header.count(b"\t") else ".tsv"


def read_file(file: DataFile, limit: int | None, query: str | None) -> tuple[Table, Path]:
    """The rows of a file, the first `limit` at least; and the file whose bytes decide them."""
    if file.kind in DATABASES:
        rows, read_answer = answer(file.path, query, limit)
        return read_answer(replace(file, path=rows), limit), rows
    kind, compression = _split_compression(file.kind)
    if not compression:
        return READERS[kind](file, limit), file.path

    def read(plain: Path) -> Table:
        inner = kind or kind_of_content(plain, file.address)
        if inner in COMPRESSIONS:
            raise SepoError(f"{file.address} is packed twice", "unpack it once")
        return READERS[inner](replace(file, path=plain), limit)

    return read(decompressed(file, compression, limit, lambda plain: _is_enough(read, plain))), file.path


def read_pipe(stream: BinaryIO, name: str, limit: int | None) -> DataFile:
    """What comes through a pipe, as a file of the kind that its beginning tells."""

    def read(plain: Path) -> Table:
        return read_file(_piped_file(plain, name), limit, None)[0]

    return _piped_file(piped(stream, name, limit, lambda plain: _is_enough(read, plain)), name)


def _piped_file(path: Path, name: str) -> DataFile:
    return DataFile(path, name, name, kind_of_content(path, name))


def _is_enough(read: Callable[[Path], Table], beginning: Path) -> bool:
    """Whether a file holds more rows than its reader was to give. Until then its end may be anything."""
    try:
        return read(beginning).end is not None
    except SepoError:
        return False


def _split_compression(name: str) -> tuple[str, str]:
    compression = next((suffix for suffix in COMPRESSIONS if name.endswith(suffix)), "")
    return name.removesuffix(compression), compression
