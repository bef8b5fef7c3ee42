"""Every source of rows, round-tripped, and every way in which one can be broken."""

import gzip
import json
import pickle
import sqlite3
from contextlib import closing
from functools import partial

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather

from sepo_data.errors import SepoError
from sepo_data.readers.rows import Row
from sepo_data.readers.source import open_source
from sepo_data.shapes.skip_reasons import READING_REASONS

ROWS = [{"prompt": f"q{n}", "chosen": f"yes {n} ä", "rejected": "no"} for n in range(5)]
BOM = b"\xef\xbb\xbf"
TABLE = pa.Table.from_pylist(ROWS)
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
zstd = partial(pa.compress, codec="zstd", asbytes=True)
CSV = ("prompt,chosen,rejected\n" + "".join(",".join(row.values()) + "\n" for row in ROWS)).encode()


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache folder of its own for each test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SEPO_CACHE", str(folder))
    return folder


def write_sqlite(path):
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE pairs (prompt, chosen, rejected)")
        database.executemany("INSERT INTO pairs VALUES (:prompt, :chosen, :rejected)", ROWS)
        database.commit()


def write_duckdb(path):
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(path)) as database:
        database.execute("CREATE TABLE pairs (prompt VARCHAR, chosen VARCHAR, rejected VARCHAR)")
        database.executemany("INSERT INTO pairs VALUES (?, ?, ?)", [list(row.values()) for row in ROWS])


def write_ipc(path, new):
    with new(str(path), TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=2)


WRITERS = {
    "pairs.jsonl": lambda path: path.write_bytes(LINES),
    "pairs.ndjson": lambda path: path.write_bytes(LINES),
    "bom.jsonl": lambda path: path.write_bytes(b"\xef\xbb\xbf" + LINES),
    "no_last_newline.jsonl": lambda path: path.write_bytes(LINES.rstrip()),
    "pairs.jsonl.gz": lambda path: path.write_bytes(gzip.compress(LINES)),
    "pairs.json": lambda path: path.write_text(json.dumps(ROWS), encoding="utf-8"),
    "indented.json": lambda path: path.write_text(json.dumps(ROWS, indent=2, ensure_ascii=False), encoding="utf-8-sig"),
    "lines.json": lambda path: path.write_bytes(LINES),
    "pairs.json.gz": lambda path: path.write_bytes(gzip.compress(json.dumps(ROWS).encode())),
    "pairs.csv": lambda path: path.write_bytes(CSV),
    "bom.csv": lambda path: path.write_bytes(b"\xef\xbb\xbf" + CSV),
    "pairs.csv.gz": lambda path: path.write_bytes(gzip.compress(CSV)),
    "pairs.parquet": lambda path: pq.write_table(TABLE, path, row_group_size=2),
    "stream.arrow": lambda path: write_ipc(path, pa.ipc.new_stream),
    "file.arrow": lambda path: write_ipc(path, pa.ipc.new_file),
    "pairs.tsv": lambda path: path.write_bytes(CSV.replace(b",", b"\t")),
    "pairs.feather": lambda path: feather.write_feather(TABLE, path, compression="lz4", chunksize=2),
    "pairs.jsonl.zst": lambda path: path.write_bytes(zstd(LINES)),
    "pairs.json.zst": lambda path: path.write_bytes(zstd(json.dumps(ROWS).encode())),
    "PAIRS.CSV.ZST": lambda path: path.write_bytes(zstd(CSV)),
    "pairs.tsv.gz": lambda path: path.write_bytes(gzip.compress(CSV.replace(b",", b"\t"))),
    "two_members.jsonl.gz": lambda path: path.write_bytes(gzip.compress(LINES[:50]) + gzip.compress(LINES[50:])),
    "pairs.sqlite": write_sqlite,
    "pairs.duckdb": write_duckdb,
    "saved": lambda path: datasets.Dataset.from_list(ROWS).save_to_disk(path, num_shards=2),
}


@pytest.mark.parametrize("name", WRITERS)
def test_round_trip(tmp_path, name):
    WRITERS[name](tmp_path / name)
    source = open_source(str(tmp_path / name))
    assert (source.rows, source.columns, source.split) == (5, ("prompt", "chosen", "rejected"), None)
    assert [row.value for row in source] == ROWS
    assert [row.value for row in source] == ROWS, "a source can be read again"
    assert [row.number for row in source.slice(1, 4)] == [1, 2, 3]
    assert [row.value for row in source.slice(1, 4)] == ROWS[1:4]
    assert list(source.slice(2, 2)) == []
    again = pickle.loads(pickle.dumps(source))  # noqa: S301
    assert [row.value for row in again] == ROWS, "another process can read it"


def test_fingerprint_follows_content_not_place(tmp_path):
    for folder, data in (("a", LINES), ("b", LINES), ("c", LINES.replace(b"q0", b"Q0"))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "pairs.jsonl").write_bytes(data)
    a, b, c = (open_source(str(tmp_path / folder)).fingerprint for folder in "abc")
    assert a == b != c
    assert open_source(str(tmp_path / "a" / "pairs.jsonl")).fingerprint == a
    assert len(a) == 64


def test_bad_lines_are_rows(tmp_path):
    deep = b"[" * 100_000
    good = b'{"prompt": "q"}'
    (tmp_path / "x.jsonl").write_bytes(
        b"\n".join([good, b"", b"{oops", b" \r", b"[1]", b'{"prompt": "\xff"}', b"3" * 5000, deep, good + b"\r"])
    )
    source = open_source(str(tmp_path / "x.jsonl"))
    rows = list(source)
    assert source.rows == len(rows) == 7
    assert rows[0] == Row(0, {"prompt": "q"}, "", "x.jsonl line 1")
    assert [row.problem for row in rows] == [
        "",
        "invalid_json",
        "not_an_object",
        "invalid_utf8",
        "invalid_json",
        "invalid_json",
        "",
    ]
    assert [row.detail.split(":")[0] for row in rows] == [f"x.jsonl line {n}" for n in (1, 3, 5, 6, 7, 8, 9)]
    assert rows[3].detail == "x.jsonl line 6: invalid start byte at byte 12 of the line"
    assert all(row.value is None for row in rows if row.problem)


def test_bad_items_of_an_array_are_rows(tmp_path):
    (tmp_path / "x.json").write_text('[{"a": 1},\n 12, null,\n\n{"a": 2}]')
    rows = list(open_source(str(tmp_path / "x.json")))
    assert [(row.problem, row.detail) for row in rows] == [
        ("", "x.json line 1"),
        ("not_an_object", "x.json line 2: int"),
        ("not_an_object", "x.json line 2: NoneType"),
        ("", "x.json line 4"),
    ]


def test_array_larger_than_a_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr("sepo_data.readers.json_array.CHUNK_CHARACTERS", 3)  # cuts characters, numbers and objects
    rows = [{"a": "ä€𝄞" * 7, "n": 12345}, {"a": "", "n": -1.5e10}]
    (tmp_path / "x.json").write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
    assert [row.value for row in open_source(str(tmp_path / "x.json"))] == rows


def test_csv_rows(tmp_path):
    (tmp_path / "x.csv").write_bytes(b'a,b\n1,"two\nlines"\n1\n1,2,3\n\nx,\xff\n"q ""q""",\n')
    rows = list(open_source(str(tmp_path / "x.csv")))
    assert rows == [
        Row(0, {"a": "1", "b": "two\nlines"}, "", "x.csv line 2"),
        Row(1, None, "wrong_number_of_fields", "x.csv line 4: 1 fields for 2 columns"),
        Row(2, None, "wrong_number_of_fields", "x.csv line 5: 3 fields for 2 columns"),
        Row(3, None, "invalid_utf8", "x.csv line 7: column b"),
        Row(4, {"a": 'q "q"', "b": ""}, "", "x.csv line 8"),
    ]


def test_csv_field_longer_than_pythons_limit(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1," + "x" * 200_000 + "\n")
    assert [len(row.value["b"]) for row in open_source(str(tmp_path / "x.csv"))] == [200_000]


def test_arrow_strings_that_are_no_utf8(tmp_path):
    binary = pa.array([b"good", b"\xff", b"good"])
    strings = pa.StringArray.from_buffers(3, *binary.buffers()[1:])
    pq.write_table(pa.table({"a": strings}), tmp_path / "x.parquet")
    rows = list(open_source(str(tmp_path / "x.parquet")))
    assert [(row.number, row.value, row.problem) for row in rows] == [
        (0, {"a": "good"}, ""),
        (1, None, "invalid_utf8"),
        (2, {"a": "good"}, ""),
    ]


def damaged(name):
    def write(path):
        WRITERS[name](path)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])

    return write


BROKEN = {
    "pairs.parquet": (damaged("pairs.parquet"), "pairs.parquet cannot be read"),
    "file.arrow": (damaged("file.arrow"), "file.arrow cannot be read"),
    "stream.arrow": (damaged("stream.arrow"), "stream.arrow cannot be read"),
    "pairs.jsonl.gz": (damaged("pairs.jsonl.gz"), "pairs.jsonl.gz cannot be read beyond about"),
    "pairs.csv.gz": (damaged("pairs.csv.gz"), "pairs.csv.gz cannot be read beyond about"),
    "not.jsonl.gz": (lambda path: path.write_bytes(LINES), "not.jsonl.gz cannot be read beyond about 0 bytes"),
    "pairs.json": (lambda path: path.write_text('[{"a": 1},\n {"a": }]'), "line 2, byte 18: Expecting value"),
    "comma.json": (lambda path: path.write_text('[{"a": 1},]'), "line 1, byte 10: Expecting value"),
    "open.json": (lambda path: path.write_text('[{"a": 1}'), "byte 9: expected , or ]"),
    "two.json": (lambda path: path.write_text('[{"ä": 1}]\n[{"a": 2}]'), "line 2, byte 12: expected nothing after"),
    "deep.json": (lambda path: path.write_text("[" * 100_000), "nested too deeply"),
    "digits.json": (lambda path: path.write_text("[" + "1" * 5000 + "]"), "digits.json is not a JSON array"),
    "latin1.json": (
        lambda path: path.write_bytes(b'[{"a": "\xe4\xe4"}]'),
        "has no columns: invalid_utf8 in latin1.json line 1",
    ),
    "utf16.jsonl": (lambda path: path.write_text('{"a": 1}', "utf-16"), "is UTF-16, and sepo reads UTF-8"),
    "utf16.json": (lambda path: path.write_text('[{"a": 1}]', "utf-16"), "is UTF-16, and sepo reads UTF-8"),
    "utf16.csv": (lambda path: path.write_text("a\n1\n", "utf-16"), "is UTF-16, and sepo reads UTF-8"),
    "utf32.jsonl": (lambda path: path.write_text('{"a": 1}', "utf-32"), "is UTF-32, and sepo reads UTF-8"),
    "header.csv": (lambda path: path.write_bytes(b"a,\xff\n1,2\n"), "does not begin with the names of its columns"),
    "pairs.jsonl.zst": (damaged("pairs.jsonl.zst"), "pairs.jsonl.zst cannot be read beyond about"),
    "not.csv.zst": (lambda path: path.write_bytes(LINES), "not.csv.zst cannot be read beyond about 0 bytes"),
    "nothing.jsonl.gz": (lambda path: path.write_bytes(b""), "has no rows"),
    "pairs.sqlite": (damaged("pairs.sqlite"), "pairs.sqlite cannot be queried"),
    "text.db": (lambda path: path.write_text("hello, this is no database"), "text.db cannot be queried"),
    "empty.db": (lambda path: path.write_text(""), "empty.db holds no table"),
    "object.json": (
        lambda path: path.write_text('{\n"data":\n[]}'),
        "object.json holds a JSON object over several lines",
    ),
    "wrapped.json": (
        lambda path: path.write_text(json.dumps({"data": ROWS})),
        "wrapped.json is one JSON object, and its rows are in data",
    ),
    "columns.json": (
        lambda path: path.write_text(json.dumps({key: {"0": 1, "7": 2} for key in ("a", "b")})),
        "columns.json is a table of pandas in one JSON object, of orient='columns'",
    ),
    "index.json": (
        lambda path: path.write_text(json.dumps({"0": ROWS[0], "7": ROWS[0]})),
        "index.json is a table of pandas in one JSON object, of orient='index'",
    ),
    "split.json": (
        lambda path: path.write_text(json.dumps({"columns": ["a"], "index": [0, 1], "data": [[1], [2]]})),
        "split.json is a table of pandas in one JSON object, of orient='split'",
    ),
    "table.json": (
        lambda path: path.write_text(json.dumps({"schema": {"fields": []}, "data": ROWS})),
        "table.json is one JSON object, and its rows are in data",
    ),
    "viewer.json": (
        lambda path: path.write_text(json.dumps({"features": [], "rows": [{"row_idx": 0, "row": ROWS[0]}]})),
        "viewer.json is one JSON object, and its rows are in rows, each in row",
    ),
    "indented.json": (
        lambda path: path.write_text(json.dumps({"data": ROWS}, indent=2)),
        "indented.json holds a JSON object over several lines",
    ),
    "empty.jsonl": (lambda path: path.write_bytes(b"\n"), "has no rows"),
    "empty.json": (lambda path: path.write_text(" [ ] "), "has no rows"),
    "empty.csv": (lambda path: path.write_text("a,b\n"), "has no rows"),
    "nothing.csv": (lambda path: path.write_text(""), "has no rows"),
    "nothing.arrow": (lambda path: path.write_text(""), "cannot be read"),
    "empty.parquet": (lambda path: pq.write_table(TABLE[:0], path), "has no rows"),
    "twins.csv": (lambda path: path.write_text("a,b,a\n1,2,3\n"), "more than one column called a"),
    "pairs.txt": (lambda path: path.write_text("x"), "has no format that sepo reads"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(tmp_path, name):
    write, message = BROKEN[name]
    write(tmp_path / name)
    with pytest.raises(SepoError, match=message) as caught:
        open_source(str(tmp_path / name))
    assert name in str(caught.value)


ONE_ROW = [
    {"prompt": "a", "completions": [{"text": "b"}, {"text": "c"}]},
    {"input": {"question": "a"}, "output": {"chosen": "b", "rejected": "c"}},
    {"chosen": {"role": "assistant", "content": "b"}, "rejected": {"role": "assistant", "content": "c"}},
    {"rows": [{"a": 1}], "prompt": "a"},
]


@pytest.mark.parametrize("row", ONE_ROW)
def test_one_object_may_be_a_row(tmp_path, row):
    (tmp_path / "one.json").write_text(json.dumps(row))
    assert [found.value for found in open_source(str(tmp_path / "one.json"))] == [row]


def test_damage_inside_a_parquet_file_names_the_file(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(TABLE, path, compression="zstd", use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[4:60] = bytes(56)
    path.write_bytes(data)
    source = open_source(str(path))
    with pytest.raises(SepoError, match=r"x\.parquet cannot be read"):
        list(source)


def test_folder_is_its_files_by_name(tmp_path):
    (tmp_path / "b.jsonl").write_bytes(LINES)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(LINES.replace(b"q", b"first ")))
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "LICENSE.MIT").write_text("free")
    (tmp_path / "dataset_infos.json").write_text("{}")
    (tmp_path / ".hidden.csv").write_text("x")
    source = open_source(str(tmp_path))
    assert [row.value["prompt"] for row in source] == [f"first {n}" for n in range(5)] + [f"q{n}" for n in range(5)]
    assert [row.number for row in source] == list(range(10))
    crossing = list(source.slice(4, 6))
    assert [(row.number, row.detail) for row in crossing] == [(4, "a.jsonl.gz line 5"), (5, "b.jsonl line 1")]


def test_folder_of_two_formats(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(LINES)
    (tmp_path / "b.csv").write_bytes(CSV)
    with pytest.raises(SepoError, match=r"several formats: a\.jsonl, b\.csv") as caught:
        open_source(str(tmp_path))
    assert caught.value.hint.startswith("name one of them")
    assert open_source(str(tmp_path / "*")).rows == 10, "a pattern means what it says"


def test_folder_of_different_columns(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x,z\n1,2\n")
    with pytest.raises(SepoError, match=r"a\.csv: x, y; b\.csv: x, z"):
        open_source(str(tmp_path))


def test_optional_keys_of_a_folder(tmp_path):
    rows = [{"a": 1, "b": 2}, {"a": 3, "c": 4}]
    for name, lines in (("x", rows[:1]), ("y", rows[1:]), ("together", rows)):
        folder = tmp_path / ("apart" if name in "xy" else name)
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    apart, together = (open_source(str(tmp_path / name)) for name in ("apart", "together"))
    assert apart.columns == together.columns == ("a", "b", "c")
    assert [row.value for row in apart] == [row.value for row in together] == rows
    (tmp_path / "apart" / "z.jsonl").write_text('{"other": 1}\n')
    with pytest.raises(SepoError, match=r"differ in their columns.*z\.jsonl: other"):
        open_source(str(tmp_path / "apart"))


def test_files_beside_folders_of_files(tmp_path):
    write(tmp_path, "a.jsonl", "more/b.jsonl", "plots/c.txt", ".cache/d.jsonl")
    with pytest.raises(SepoError, match=r"data files and folders of others: a\.jsonl, more/$") as caught:
        open_source(str(tmp_path))
    assert "'**/*.jsonl'" in caught.value.hint
    assert open_source(f"{tmp_path}/**/*.jsonl").rows == 10
    (tmp_path / "more" / "b.jsonl").unlink()
    assert open_source(str(tmp_path)).rows == 5, "folders without data are no matter"


def test_only_the_documentation_itself_is_no_data(tmp_path):
    write(
        tmp_path,
        "README_prefs.jsonl",
        "License-pairs.jsonl",
        "README.json",
        "license.json",
        "sepo.json",
        "state_a.jsonl",
    )
    details = [row.detail.split()[0] for row in open_source(str(tmp_path)).slice(0, 99)]
    assert sorted(set(details)) == ["License-pairs.jsonl", "README_prefs.jsonl", "state_a.jsonl"]


def test_an_empty_name():
    with pytest.raises(SepoError, match="name of the dataset is empty"):
        open_source("")


def test_folder_without_data(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(SepoError, match="holds no data file") as caught:
        open_source(str(tmp_path))
    assert caught.value.hint == ""


def test_folder_whose_files_lie_deeper(tmp_path):
    write(tmp_path, "README.md", "dataset_infos.json", "data/train-00000.jsonl", "data/more/train-00001.jsonl")
    write(tmp_path, "data/test.jsonl", ".cache/train.jsonl", "data/.git/train.jsonl")
    source = open_source(str(tmp_path))
    assert (source.rows, source.split) == (10, "train")
    assert [row.detail for row in source.slice(4, 6)] == [
        "data/more/train-00001.jsonl line 5",
        "data/train-00000.jsonl line 1",
    ]
    write(tmp_path, "other/train.jsonl")
    with pytest.raises(SepoError, match="holds no data file") as caught:
        open_source(str(tmp_path))
    assert "data/, other/" in caught.value.hint


def test_folders_that_are_splits(tmp_path):
    write(tmp_path, "train/a.jsonl", "train/b.jsonl", "test/a.jsonl")
    assert (open_source(str(tmp_path)).rows, open_source(str(tmp_path)).split) == (10, "train")
    assert open_source(str(tmp_path), split="test").rows == 5


@pytest.mark.parametrize("name", ["train.jsonl", "train-0-of-2.jsonl.gz", "train.jsonl.zst", "train/x.jsonl.zst"])
def test_packing_is_no_part_of_the_name_of_a_split(tmp_path, name):
    pack = {"gz": gzip.compress, "st": zstd, "nl": bytes}[name[-2:]]
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(pack(LINES))
    assert open_source(str(tmp_path)).split == "train"


def test_pattern(tmp_path, monkeypatch):
    write(tmp_path, "train.jsonl", "test.jsonl", "deep/er/c.jsonl", "notes.txt", "name[1].jsonl")
    monkeypatch.chdir(tmp_path)
    assert (open_source("t*.jsonl").rows, open_source("t*.jsonl").split) == (10, None), "all that fit"
    assert open_source("*.jsonl", split="test").rows == 5
    assert open_source("**/*.jsonl").rows == 20
    assert open_source(f"{tmp_path}/deep/*/?.jsonl").rows == 5
    assert open_source("tr*.jsonl").split == "train"
    assert open_source("name[1].jsonl").rows == 5, "a file of that very name"
    assert open_source("t*.jsonl").fingerprint == open_source(f"{tmp_path}/t*.jsonl").fingerprint
    with pytest.raises(SepoError, match=r"no data file matches \*\.csv") as caught:
        open_source("*.csv")
    assert "quote the pattern" in caught.value.hint


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(LINES)


def test_a_name_that_no_file_can_have():
    with pytest.raises(SepoError, match="File name too long"):
        open_source("x" * 5000)


def split_folder(tmp_path, *names):
    for number, name in enumerate(names):
        (tmp_path / name).write_text(f"a\n{number}\n")
    return str(tmp_path)


@pytest.mark.parametrize(
    ("names", "asked", "split", "values"),
    [
        (("test_prefs.csv", "train_prefs.csv"), None, "train_prefs", ["1"]),
        (("test_prefs.csv", "train_prefs.csv"), "test_prefs", "test_prefs", ["0"]),
        (("test_prefs.csv", "train_prefs.csv"), "test", "test_prefs", ["0"]),
        (
            ("test-00000-of-00001.csv", "train-00000-of-00002.csv", "train-00001-of-00002.csv"),
            None,
            "train",
            ["1", "2"],
        ),
        (("test.csv",), None, "test", ["0"]),
        (("train.csv", "train_extra.csv"), "train", "train", ["0"]),
        (("test_prefs.csv", "train_prefs.csv"), "train", "train_prefs", ["1"]),
        (("pairs-1.csv", "pairs-2.csv"), None, None, ["0", "1"]),
        (("other.csv", "test.csv"), "test", "test", ["1"]),
        (("testimony.csv", "trainer.csv"), None, None, ["0", "1"]),
    ],
)
def test_splits_in_file_names(tmp_path, names, asked, split, values):
    source = open_source(split_folder(tmp_path, *names), split=asked)
    assert source.split == split
    assert [row.value["a"] for row in source] == values


@pytest.mark.parametrize(
    ("names", "asked", "message"),
    [
        (("test.csv", "validation.csv"), None, "has several splits: test, validation"),
        (("test.csv", "train.csv", "train_extra.csv"), None, "holds train and train_extra, which may belong to it"),
        (("train.csv", "training.csv"), None, "holds train and training"),
        (("train_gen.csv", "train_prefs.csv"), None, "has several splits: train_gen, train_prefs"),
        (("train_gen.csv", "train_prefs.csv"), "train", "has several splits: train_gen, train_prefs"),
        (("test.csv", "train.csv"), "tset", "has no split tset, only test, train"),
        (("pairs.csv",), "train", "no file name contains a split such as train"),
        (("other.csv", "test.csv"), None, r"others: other\.csv, test\.csv"),
    ],
)
def test_splits_that_cannot_be_chosen(tmp_path, names, asked, message):
    with pytest.raises(SepoError, match=message):
        open_source(split_folder(tmp_path, *names), split=asked)


def test_saved_dataset_dict(tmp_path):
    data = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict(train=data, test=data.select([3])).save_to_disk(tmp_path / "saved")
    assert open_source(str(tmp_path / "saved")).split == "train"
    test = open_source(str(tmp_path / "saved"), split="test")
    assert [row.value for row in test] == [ROWS[3]]
    with pytest.raises(SepoError, match="has no split dev, only train, test"):
        open_source(str(tmp_path / "saved"), split="dev")


def test_saved_dataset_that_is_not_whole(tmp_path):
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved")
    next((tmp_path / "saved").glob("*.arrow")).unlink()
    with pytest.raises(SepoError, match="not a complete saved dataset"):
        open_source(str(tmp_path / "saved"))
    with pytest.raises(SepoError, match="without splits"):
        open_source(str(tmp_path / "saved"), split="train")


def test_name_that_is_nothing(tmp_path):
    (tmp_path / "pairs.jsonl").write_bytes(LINES)
    with pytest.raises(SepoError, match="no such file or folder, and it is no Hub id") as caught:
        open_source(str(tmp_path / "pair.jsonl"))
    assert caught.value.hint == "did you mean pairs.jsonl?"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"config": "en"}, "have no configs"),
        ({"revision": "main"}, "have no revisions"),
        ({"query": "SELECT 1"}, "no database"),
        ({"query": ""}, "the query is empty"),
        ({"streaming": True}, "nothing is streamed"),
    ],
)
def test_options_of_other_sources(tmp_path, option, message):
    (tmp_path / "pairs.jsonl").write_bytes(LINES)
    with pytest.raises(SepoError, match=message):
        open_source(str(tmp_path / "pairs.jsonl"), **option)


def test_file_that_shrinks_while_it_is_read(tmp_path):
    (tmp_path / "pairs.jsonl").write_bytes(LINES)
    source = open_source(str(tmp_path / "pairs.jsonl"))
    (tmp_path / "pairs.jsonl").write_bytes(LINES.splitlines(keepends=True)[0])
    with pytest.raises(SepoError, match="row 1 of 5 is missing"):
        list(source)


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b'{"a": 1}', b"\xef\xbb\xbf", b"[", b"null"]), max_size=8))
def test_any_bytes_as_lines(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("any") / "x.jsonl"
    path.write_bytes(b'{"prompt": ""}\n' + b"\n".join(lines))
    source = open_source(str(path))
    assert [row.number for row in source] == list(range(source.rows))
    assert source.rows == sum(1 for line in path.read_bytes().split(b"\n") if line.removeprefix(BOM).strip())


@given(st.binary(max_size=60))
def test_any_bytes_as_any_text_file(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("any")
    for name in ("x.jsonl", "x.json", "x.csv", "y.json"):
        path = folder / name
        path.write_bytes(b"[" + data if name == "y.json" else data)
        try:
            source = open_source(str(path))
        except SepoError:
            continue
        assert len(list(source)) == source.rows


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory):
    """The bytes of a good file of every format."""
    folder = tmp_path_factory.mktemp("whole")
    names = [name for name in WRITERS if name not in {"saved", "pairs.duckdb"}]
    for name in names:
        WRITERS[name](folder / name)
    return {name: (folder / name).read_bytes() for name in names}


@given(data=st.data())
def test_any_damage(whole_files, tmp_path_factory, data):
    name = data.draw(st.sampled_from(sorted(whole_files)))
    content = bytearray(whole_files[name])
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(content)
    try:
        source = open_source(str(path))
        rows = list(source)
    except SepoError:
        return
    assert [row.number for row in rows] == list(range(source.rows))
    assert {row.problem for row in rows} <= {"", *READING_REASONS}


def test_damaged_offsets_of_arrow_do_not_end_the_process(tmp_path):
    offsets = pa.py_buffer(np.array([0, 1 << 30, 3], np.int32))
    strings = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"abc")])
    with pa.ipc.new_stream(str(tmp_path / "x.arrow"), pa.schema([("a", pa.string())])) as writer:
        writer.write_batch(pa.record_batch([strings], ["a"]))
    with pytest.raises(SepoError, match=r"x\.arrow cannot be read"):
        open_source(str(tmp_path / "x.arrow"))
