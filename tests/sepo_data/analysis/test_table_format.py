"""The default format: by the suffix of the file, else by the kind of standard output."""

import pytest

from sepo_data.analysis.table_format import default_format
from sepo_data.errors import SepoError


def test_formats_by_suffix_of_the_file(tmp_path):
    expected = {"a.csv": "csv", "a.parquet": "parquet", "a.json": "json", "a.jsonl": "ndjson", "a.txt": "table"}
    assert {name: default_format(tmp_path / name, terminal=True) for name in expected} == expected
    assert default_format(None, terminal=True) == "table"
    assert default_format(None, terminal=False) == "ndjson"
    with pytest.raises(SepoError, match="answer: no format has the suffix ''") as caught:
        default_format(tmp_path / "answer", terminal=True)
    assert caught.value.hint == "end it in .jsonl, .txt, .table, .ndjson, .json, .csv, .parquet or give --format"
