"""Tables of very many columns, and rows that are deep, long or many: linear work, or an error that is short."""

import csv
import json

import pytest

from sepo_data.console.text import LONGEST_NAME, MOST_LISTED
from sepo_data.errors import SepoError
from sepo_data.preferences.preferences import read_preferences
from sepo_data.preferences.reading import Reading
from sepo_data.readers.rows import refuse_equal_columns
from sepo_data.readers.source import open_source
from sepo_data.shapes import columns as shape_columns
from sepo_data.shapes.columns import find_columns

PAIR = {"prompt": "q", "chosen": "yes", "rejected": "no"}
WIDE = PAIR | {f"c{n}": str(n) for n in range(50_000)}


def write(folder, name, row):
    path = folder / name
    if name.endswith(".csv"):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([row.keys(), row.values(), row.values()])
    else:
        text = json.dumps(row)
        path.write_text(f"[{text}, {text}]" if name.endswith(".json") else f"{text}\n{text}\n")
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_a_wide_table_is_read(tmp_path, name):
    found = read_preferences(str(write(tmp_path, name, WIDE)))
    assert len(found.source.columns) == len(WIDE)
    assert found.shape.name == "explicit strings"


class Counted(str):
    """A column name that counts how often it is compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other):
        Counted.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_equal_columns_are_found_in_one_pass():
    names = [Counted(f"c{n}") for n in range(5000)]
    refuse_equal_columns("a", names)
    assert Counted.compared < 2 * len(names)
    with pytest.raises(SepoError, match=r"more than one column called c3$"):
        refuse_equal_columns("a", [*names, "c3"])


def test_only_columns_that_can_play_a_role_are_looked_into(monkeypatch):
    looked = []
    monkeypatch.setattr(shape_columns, "type_of", lambda values: looked.append(values) or "string")
    find_columns(tuple(WIDE), [WIDE], {"system": "c7"})
    assert len(looked) == len(PAIR) + 1


NAMES = {f"column{n}": "x" for n in range(20_000)}
MESSAGES = {
    "no shape": (NAMES, {}),
    "no such column": (WIDE, {"columns": {"chosen": "nothing"}}),
    "no such side column": (WIDE, {"keep_columns": tuple(f"other{n}" for n in range(200))}),
    "a long name": ({"k" * 100_000: "x"}, {}),
}


@pytest.mark.parametrize(("row", "options"), MESSAGES.values(), ids=MESSAGES)
def test_a_message_lists_some_of_the_columns(tmp_path, row, options):
    path = write(tmp_path, "a.jsonl", row)
    with pytest.raises(SepoError, match=r" more|characters") as caught:
        read_preferences(Reading(dataset=str(path), **options))
    assert len(f"{caught.value}{caught.value.hint}") < 2 * MOST_LISTED * (LONGEST_NAME + 50)


def test_a_repeated_key_among_many(tmp_path):
    keys = ", ".join(f'"k{n}": 1' for n in range(50_000))
    (tmp_path / "a.jsonl").write_text(f'{json.dumps(PAIR)}\n{{{keys}, "k49999": 2}}\n')
    assert [row.problem for row in open_source(str(tmp_path / "a.jsonl"))] == ["", "invalid_json"]


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"a":' * 100_000, "[" * 900 + "]" * 900 + "]"])
def test_a_deep_row_is_skipped(tmp_path, deep):
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(PAIR)}\n{deep}\n")
    assert [row.problem for row in open_source(str(tmp_path / "a.jsonl"))] == ["", "invalid_json"]


def test_a_deep_array_is_an_error(tmp_path):
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(SepoError, match="nested too deeply"):
        open_source(str(tmp_path / "a.json"))
