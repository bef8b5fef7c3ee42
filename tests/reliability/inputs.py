"""The same preference pairs as a file of each format that sepo reads."""

from __future__ import annotations

import gzip
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path


NAMES = (
    *("array.json", "delta.parquet", "file.arrow", "lines.jsonl", "packed.feather", "packed.json.zst"),
    *("packed.jsonl.gz", "plain.parquet", "snappy.parquet", "stream-lz4.arrow", "stream-zstd.arrow", "stream.arrow"),
    *("table.csv", "table.sqlite", "table.tsv", "unusual.arrow", "views.arrow", "zstd.parquet"),
)
"""The files that `write_inputs` writes."""


def pairs(count: int = 60) -> list[dict[str, object]]:
    """Rows with texts, conversations, numbers, nulls and repeated values, so that files have all kinds of buffers."""
    drinks = ["tea", "coffee", "milk", "juice with ice"]
    return [
        {
            "prompt": f"Shall I have {drinks[at % 4]} or soup, option {at}?",
            "chosen": f" Take the {drinks[at % 4]}." + " It is a lovely one." * (at % 4),
            "rejected": " Soup." + " No, never. Nü." * (at % 5),
            "category": drinks[at % 4],
            "votes": [at, None, at * at],
            "turns": [{"role": "user", "content": drinks[at % 4]}] * (at % 3),
            "note": None if at % 5 == 0 else f"note {at}",
            "score": at / 7,
        }
        for at in range(count)
    ]


def table() -> pa.Table:
    found = pa.Table.from_pylist(pairs())
    place = found.schema.get_field_index("category")
    return found.set_column(place, "category", found.column("category").dictionary_encode())


def flat() -> pa.Table:
    return table().select(["prompt", "chosen", "rejected", "score"])


def unusual() -> pa.Table:
    """Columns of the types that few files have: each has buffers of its own to damage."""
    found = flat().select(["prompt", "chosen", "rejected"])
    numbers = pa.array(range(found.num_rows), pa.int32())
    lists = pa.array([[at] * (at % 3) for at in range(found.num_rows)], pa.list_(pa.int32()))
    ends = pa.array(range(2, found.num_rows + 2, 2), pa.int32())
    kinds = pa.array([at % 2 for at in range(found.num_rows)], pa.int8())
    columns = {
        "map": pa.array([[("a", at)] for at in range(found.num_rows)], pa.map_(pa.string(), pa.int32())),
        "fixed": pa.array([[at, at] for at in range(found.num_rows)], pa.list_(pa.int32(), 2)),
        "view": pa.array(lists.to_pylist(), pa.list_view(pa.int32())),
        "runs": pa.RunEndEncodedArray.from_arrays(ends, ends.cast(pa.string())),
        "sparse": pa.UnionArray.from_sparse(kinds, [numbers, numbers.cast(pa.string())]),
        "dense": pa.UnionArray.from_dense(kinds, numbers, [numbers, numbers.cast(pa.string())]),
        "words": pa.array([["tea", "milk"]] * found.num_rows, pa.list_(pa.dictionary(pa.int8(), pa.string()))),
        "large": found.column("prompt").cast(pa.large_string()).combine_chunks(),
        "time": numbers.cast(pa.int64()).cast(pa.timestamp("s")),
        "price": numbers.cast(pa.decimal128(12, 2)),
    }
    for name, column in columns.items():
        found = found.append_column(name, column)
    return found


def write_inputs(folder: Path) -> list[Path]:
    """Files of all formats in `folder`."""
    rows, whole = pairs(), table()
    plain = whole.set_column(3, "category", whole.column("category").cast(pa.string()))
    (folder / "lines.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    (folder / "array.json").write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
    (folder / "packed.jsonl.gz").write_bytes(gzip.compress((folder / "lines.jsonl").read_bytes(), mtime=0))
    pa.csv.write_csv(flat(), folder / "table.csv")
    pa.csv.write_csv(flat(), folder / "table.tsv", pa.csv.WriteOptions(delimiter="\t"))
    with pa.CompressedOutputStream(str(folder / "packed.json.zst"), "zstd") as sink:
        sink.write((folder / "array.json").read_bytes())
    for name, batch_rows, options in (
        ("stream", 20, None),
        ("stream-lz4", 20, pa.ipc.IpcWriteOptions(compression="lz4")),
        ("stream-zstd", 60, pa.ipc.IpcWriteOptions(compression="zstd")),
    ):
        with pa.ipc.new_stream(str(folder / f"{name}.arrow"), whole.schema, options=options) as writer:
            writer.write_table(whole, max_chunksize=batch_rows)
    with pa.ipc.new_file(str(folder / "file.arrow"), whole.schema) as writer:
        writer.write_table(whole, max_chunksize=20)
    with pa.ipc.new_stream(str(folder / "unusual.arrow"), unusual().schema) as writer:
        writer.write_table(unusual())
    views = plain.set_column(0, "prompt", plain.column("prompt").cast(pa.string_view()))
    with pa.ipc.new_file(str(folder / "views.arrow"), views.schema) as writer:
        writer.write_table(views)
    pa.feather.write_feather(plain, str(folder / "packed.feather"), compression="zstd")
    pq.write_table(whole, folder / "snappy.parquet", row_group_size=20)
    pq.write_table(plain, folder / "plain.parquet", compression="none", use_dictionary=False)
    pq.write_table(plain, folder / "zstd.parquet", compression="zstd", data_page_version="2.0", data_page_size=500)
    pq.write_table(
        flat(),
        folder / "delta.parquet",
        compression="gzip",
        use_dictionary=False,
        column_encoding={
            "prompt": "DELTA_BYTE_ARRAY",
            "chosen": "DELTA_LENGTH_BYTE_ARRAY",
            "score": "BYTE_STREAM_SPLIT",
        },
    )
    with closing(sqlite3.connect(folder / "table.sqlite")) as base, base:
        base.execute("CREATE TABLE pairs (prompt TEXT, chosen TEXT, rejected TEXT, score REAL)")
        values = [(row["prompt"], row["chosen"], row["rejected"], row["score"]) for row in rows]
        base.executemany("INSERT INTO pairs VALUES (?, ?, ?, ?)", values)
    return sorted(folder.iterdir())
