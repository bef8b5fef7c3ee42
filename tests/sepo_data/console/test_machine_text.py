"""JSON that is the same on a terminal, and CSV of which a record is a line there."""

import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from sepo_data.console.machine_text import visible_csv, visible_json
from tests.fixtures.hostile import ALL, unsafe

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(value=st.dictionaries(TEXT, TEXT | st.lists(TEXT)))
def test_visible_json_is_the_same_json(value):
    for text in (json.dumps(value, ensure_ascii=False, indent=2), json.dumps(value, ensure_ascii=False)):
        assert json.loads(visible_json(text)) == value
        assert unsafe(visible_json(text)) == ""


def test_half_a_character_stays_one():
    assert json.loads(visible_json('"\ud83d"')) == "\ud83d"


@given(rows=st.lists(st.lists(TEXT, min_size=2, max_size=2), max_size=4), size=st.integers(1, 9))
def test_a_record_of_visible_csv_is_a_line_whatever_pieces_it_comes_in(rows, size):
    writer = csv.writer(file := io.StringIO(newline=""), lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([*rows, [ALL, "a"]])
    text, escape = file.getvalue(), visible_csv()
    shown = "".join(escape(text[at : at + size]) for at in range(0, len(text), size))
    assert shown.count("\n") == len(rows) + 1
    assert [len(row) for row in csv.reader(shown.splitlines())] == [2] * (len(rows) + 1)
    assert unsafe(shown) == ""
