"""Arrow streams that cannot be read: one error with the name of the file, whatever failed."""

import polars as pl
import pyarrow as pa
import pytest

from sepo_data.errors import SepoError
from sepo_data.readers.arrow_stream import check_texts, map_stream, stream_errors


def write(file, table):
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return file


@pytest.mark.parametrize(
    "error",
    [pa.ArrowInvalid("no"), OSError("no"), MemoryError(), OverflowError("no"), pl.exceptions.PanicException("no")],
)
def test_every_failure_is_an_error_that_names_the_file(tmp_path, error):
    with pytest.raises(SepoError, match="shard cannot be read: "), stream_errors(tmp_path / "shard"):
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_still_does(tmp_path, error):
    with pytest.raises(error), stream_errors(tmp_path / "shard"):
        raise error


def test_damaged_offsets_and_texts_are_found_where_they_are_validated(tmp_path):
    table = pa.table({"text": ["a" * 30, "b" * 30], "lists": pa.array([[1], [2, 3]], pa.large_list(pa.int32()))})
    file = write(tmp_path / "shard", table)
    assert map_stream(file).equals(table)
    assert map_stream(file, columns=["lists"]).column_names == ["lists"]
    whole = file.read_bytes()
    offsets = b"".join(offset.to_bytes(4, "little") for offset in (0, 30, 60))
    for part, damaged in ((b"a" * 30, b"\xff" * 30), (offsets, offsets[:8] + b"\xff\xff\xff\x7f")):
        assert whole.count(part) == 1
        file.write_bytes(whole.replace(part, damaged))
        map_stream(file, validate=False)
        map_stream(file, columns=["lists"])
        with pytest.raises(SepoError, match="shard cannot be read: "):
            map_stream(file)


@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff\xff", b"{}", b"ARROW1\0\0" * 9])
def test_a_file_that_is_no_stream(tmp_path, content):
    (tmp_path / "shard").write_bytes(content)
    with pytest.raises(SepoError, match="shard cannot be read: "):
        map_stream(tmp_path / "shard")


def test_names_and_notes_that_are_no_text():
    """Polars would panic, which prints the stack of Rust."""
    note = pa.field("a", pa.string(), metadata={b"doc": b"\xff"})
    check_texts(pa.schema([note.with_metadata({"doc": "a text"})]))
    for field in (note, pa.field("b", pa.struct([note])), pa.field("c", pa.large_list(pa.struct([note])))):
        with pytest.raises(UnicodeDecodeError):
            check_texts(pa.schema([field]))
