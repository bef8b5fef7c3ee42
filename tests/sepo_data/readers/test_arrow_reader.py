"""Arrow files whose lengths are wrong: rows as they were, or an error that names the file."""

import struct

import pyarrow as pa
import pytest

from sepo_data.errors import SepoError
from sepo_data.readers.source import open_source

ROWS = 7
TABLE = pa.table({"prompt": [f"q{at}" for at in range(ROWS)], "chosen": ["a"] * ROWS, "rejected": ["b"] * ROWS})


def written(compression, *, stream):
    sink = pa.BufferOutputStream()
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(sink, TABLE.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(TABLE)
    return sink.getvalue().to_pybytes()


def read(file):
    """The rows, or the error."""
    try:
        source = open_source(str(file))
        found = [row.value for row in source]
    except SepoError as error:
        return str(error)
    assert len(found) == source.rows
    return found


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("wrong", [1 << 40, -2, (1 << 63) - 1, ROWS - 1, ROWS + 1])
def test_a_length_that_is_wrong_anywhere(tmp_path, monkeypatch, stream, compression, wrong):
    monkeypatch.setenv("SEPO_CACHE", str(tmp_path / "cache"))
    whole, file = written(compression, stream=stream), tmp_path / "wrong.arrow"
    places = [at for at in range(0, len(whole) - 8, 4) if whole[at : at + 8] == struct.pack("<q", ROWS)]
    assert len(places) > TABLE.num_columns, "the length of the batch, and that of each column"
    for at in places:
        file.write_bytes(whole[:at] + struct.pack("<q", wrong) + whole[at + 8 :])
        found = read(file)
        if isinstance(found, str):
            assert "wrong.arrow cannot be read" in found or "wrong.arrow takes more than" in found
        else:
            assert found == TABLE.to_pylist()[: len(found)]
