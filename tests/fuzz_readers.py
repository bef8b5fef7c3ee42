"""Coverage-guided fuzzing of the readers, where `pip install atheris` works. It runs until something breaks:

    python tests/fuzz_readers.py -max_len=4096 -runs=100000

For any bytes, a file has as many rows as it reports, each a value or a reason, or is refused by a SepoError.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sepo_data", "json", "csv"]):
    from sepo_data.errors import SepoError
    from sepo_data.readers.source import open_source
    from sepo_data.shapes.skip_reasons import READING_REASONS

FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".jsonl.gz", ".json.zst", ".parquet", ".arrow", ".db")


def read(data: bytes) -> None:
    """The first byte chooses the format, and whether an array or a good line comes first."""
    if not data:
        return
    suffix = FORMATS[data[0] % len(FORMATS)]
    path = Path(os.environ["SEPO_CACHE"], "x" + suffix)
    path.write_bytes((b"", b"[", b'{"a": 1}\n')[data[0] // len(FORMATS) % 3] + data[1:])
    try:
        source = open_source(str(path))
        rows = list(source)
        middle = list(source.slice(source.rows // 2, source.rows))
    except SepoError:
        return
    assert [row.number for row in rows] == list(range(source.rows)), suffix
    assert repr(middle) == repr(rows[source.rows // 2 :]), suffix  # NaN is not equal to itself
    assert all((row.value is None) == bool(row.problem) for row in rows), suffix
    assert {row.problem for row in rows} <= {"", *READING_REASONS}, suffix


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SEPO_CACHE"] = folder
        atheris.Setup(sys.argv, read)
        atheris.Fuzz()
