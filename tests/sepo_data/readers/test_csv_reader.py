"""Delimiters of CSV files: named in the refusal of a file with another one, and read where the user names them."""

import io
import sys
from types import SimpleNamespace

import pytest

from sepo_data import read_preferences
from sepo_data.errors import SepoError
from sepo_data.preferences.reading import Reading
from sepo_data.readers.csv_reader import DELIMITERS, parse_delimiter
from sepo_data.readers.source import open_source

ROW = {"prompt": "a, b; c|d\te", "chosen": 'yes, "so"; or\nso', "rejected": "no"}


def write(path, delimiter):
    def quoted(text):
        return '"' + text.replace('"', '""') + '"'

    path.write_text(f"{delimiter.join(ROW)}\n{delimiter.join(map(quoted, ROW.values()))}\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize(("delimiter", "name"), DELIMITERS.items())
def test_the_refusal_names_the_delimiter_that_reads_the_file(tmp_path, delimiter, name, suffix):
    path = write(tmp_path / f"pairs{suffix}", delimiter)
    if delimiter != {".csv": ",", ".tsv": "\t"}[suffix]:
        with pytest.raises(
            SepoError, match=r"pairs\..sv has one column, .*, with a (comma|tab) between fields"
        ) as caught:
            open_source(path)
        assert caught.value.hint.endswith(f"add --delimiter {name}")
    for named in (name, delimiter):
        assert [row.value for row in open_source(path, delimiter=named)] == [ROW]
    [pair] = read_preferences(Reading(path, delimiter=name))
    assert (pair.prompt, pair.chosen, pair.rejected) == tuple(ROW.values())


def test_any_character(tmp_path):
    assert [row.value for row in open_source(write(tmp_path / "pairs.csv", "^"), delimiter="^")] == [ROW]
    assert parse_delimiter("\\t") == "\t"


@pytest.mark.parametrize("delimiter", ["", "::", '"', "\n", "semi"])
def test_what_is_no_delimiter(tmp_path, delimiter):
    path = write(tmp_path / "pairs.csv", ",")
    with pytest.raises(SepoError, match="is no character") as caught:
        open_source(path, delimiter=delimiter)
    assert "comma, tab, semicolon, pipe" in caught.value.hint


def test_only_csv_takes_a_delimiter(tmp_path):
    (tmp_path / "pairs.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(SepoError, match=r"pairs\.jsonl is no CSV file, so it takes no delimiter"):
        open_source(str(tmp_path / "pairs.jsonl"), delimiter=";")


def test_standard_input(tmp_path, monkeypatch):
    path = tmp_path / "pairs"
    write(path, ";")

    def pipe():
        content = io.BytesIO(path.read_bytes())
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=content, isatty=lambda: False))

    pipe()
    with pytest.raises(SepoError, match="stdin has one column") as caught:
        open_source("-")
    assert caught.value.hint.endswith("add --delimiter semicolon")
    pipe()
    assert [row.value for row in open_source("-", delimiter=";")] == [ROW]


def test_the_delimiter_is_in_the_plan_and_the_content_is_the_same(tmp_path):
    path = write(tmp_path / "pairs.csv", ";")
    assert Reading(path, delimiter=";").plan()["delimiter"] == ";"
    assert "delimiter" not in Reading(path).plan()


def test_a_name_with_a_delimiter_in_it_among_others(tmp_path):
    (tmp_path / "x.csv").write_text("a;b,c\n1,2\n")
    assert open_source(str(tmp_path / "x.csv")).columns == ("a;b", "c")
