"""Every place rows can come from, round-tripped, and every way a place can be broken."""

import gzip
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SepoError
from sepo_data.sources import Row, open_source

ROWS = [{"prompt": f"q{n}", "chosen": f"yes {n} ä", "rejected": "no"} for n in range(5)]
TABLE = pa.Table.from_pylist(ROWS)
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
CSV = ("prompt,chosen,rejected\n" + "".join(",".join(row.values()) + "\n" for row in ROWS)).encode()


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
    monkeypatch.setattr("sepo_data.json_array.CHUNK", 3)  # cuts through characters, numbers and objects
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
    "pairs.jsonl.gz": (damaged("pairs.jsonl.gz"), "pairs.jsonl.gz cannot be read beyond byte"),
    "pairs.csv.gz": (damaged("pairs.csv.gz"), "pairs.csv.gz cannot be read beyond byte"),
    "not.jsonl.gz": (lambda path: path.write_bytes(LINES), "not.jsonl.gz cannot be read beyond byte 0"),
    "pairs.json": (lambda path: path.write_text('[{"a": 1},\n {"a": }]'), "line 2, character 19: Expecting value"),
    "comma.json": (lambda path: path.write_text('[{"a": 1},]'), "line 1, character 11: Expecting value"),
    "open.json": (lambda path: path.write_text('[{"a": 1}'), "character 10: expected , or ]"),
    "deep.json": (lambda path: path.write_text("[" * 100_000), "nested too deeply"),
    "digits.json": (lambda path: path.write_text("[" + "1" * 5000 + "]"), "digits.json is not a JSON array"),
    "latin1.json": (lambda path: path.write_bytes(b'[{"a": "\xe4\xe4"}]'), "is not UTF-8: .* at byte 8"),
    "object.json": (
        lambda path: path.write_text('{\n"data":\n[]}'),
        "has no columns: invalid_json in object.json line 1",
    ),
    "empty.jsonl": (lambda path: path.write_bytes(b"\n"), "has no rows"),
    "empty.json": (lambda path: path.write_text(" [ ] "), "has no rows"),
    "empty.csv": (lambda path: path.write_text("a,b\n"), "has no rows"),
    "nothing.csv": (lambda path: path.write_text(""), "has no rows"),
    "nothing.arrow": (lambda path: path.write_text(""), "cannot be read"),
    "empty.parquet": (lambda path: pq.write_table(TABLE[:0], path), "has no rows"),
    "twins.csv": (lambda path: path.write_text("a,b,a\n1,2,3\n"), "more than one column called a"),
    "pairs.txt": (lambda path: path.write_text("x"), "is of no kind that sepo reads"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(tmp_path, name):
    write, message = BROKEN[name]
    write(tmp_path / name)
    with pytest.raises(SepoError, match=message) as caught:
        open_source(str(tmp_path / name))
    assert name in str(caught.value)


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


def test_folder_of_two_kinds(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(LINES)
    (tmp_path / "b.csv").write_bytes(CSV)
    with pytest.raises(SepoError, match=r"several kinds: a\.jsonl, b\.csv") as caught:
        open_source(str(tmp_path))
    assert caught.value.hint == "name one of them"


def test_folder_of_different_columns(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x,z\n1,2\n")
    with pytest.raises(SepoError, match=r"a\.csv: x, y; b\.csv: x, z"):
        open_source(str(tmp_path))


def test_folder_without_data(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(SepoError, match="holds no data file") as caught:
        open_source(str(tmp_path))
    assert caught.value.hint == "name one of its folders: data/"


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
        (("train.csv", "train_extra.csv"), None, "train", ["0"]),
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
        (("train_gen.csv", "train_prefs.csv"), None, "has several splits: train_gen, train_prefs"),
        (("train_gen.csv", "train_prefs.csv"), "train", "has several splits: train_gen, train_prefs"),
        (("test.csv", "train.csv"), "tset", "has no split tset, only test, train"),
        (("pairs.csv",), "train", "no file name tells of a split train"),
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
    with pytest.raises(SepoError, match="not a whole saved dataset"):
        open_source(str(tmp_path / "saved"))
    with pytest.raises(SepoError, match="without splits"):
        open_source(str(tmp_path / "saved"), split="train")


def test_name_that_is_nothing(tmp_path):
    (tmp_path / "pairs.jsonl").write_bytes(LINES)
    with pytest.raises(SepoError, match="no such file or folder, and it is no Hub id") as caught:
        open_source(str(tmp_path / "pair.jsonl"))
    assert caught.value.hint == "did you mean pairs.jsonl?"


def test_config_of_a_local_file(tmp_path):
    (tmp_path / "pairs.jsonl").write_bytes(LINES)
    with pytest.raises(SepoError, match="have no configs"):
        open_source(str(tmp_path / "pairs.jsonl"), config="en")


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
    assert source.rows == sum(1 for line in path.read_bytes().split(b"\n") if line.strip())


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
