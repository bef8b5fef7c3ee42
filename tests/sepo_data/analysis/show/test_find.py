"""Pairs with a text, or that meet a condition, against a plain loop; conditions that cannot be answered."""

import pyarrow as pa
import pytest

from sepo_data.analysis.show.directory import open_directory
from sepo_data.analysis.show.find import rows_where, rows_with_text
from sepo_data.errors import SepoError

TEXTS = ["Straße in KÖLN", "a.b*c(d", "ΟΔΟΣ", "tab\there", "", "日本語🙂", "100% \\n", "x" * 3000]
REWARDS = [([float(number), 1.0], [0.5]) for number in range(len(TEXTS))]


@pytest.fixture(scope="module", params=["texts", "messages"])
def directory(request, tmp_path_factory, rewards_of, write_rewards):
    """Pairs whose n-th has text n in its prompt, chosen or rejected, by turns; and side columns."""
    table = rewards_of(REWARDS, messages=request.param == "messages")
    for number, part in enumerate(("prompt", "chosen", "rejected")):
        values = table[part].to_pylist()
        for row in range(number, len(TEXTS), 3):
            values[row] = (
                TEXTS[row] if request.param == "texts" else [*values[row], {"role": "x", "content": TEXTS[row]}]
            )
        at = table.schema.get_field_index(part)
        table = table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))
    table = table.append_column("row", pa.array(list("abcdefgh"))).append_column("odd name", pa.array(range(8)))
    folder = tmp_path_factory.mktemp("find") / "rewards"
    write_rewards(folder, [table.slice(0, 3), table.slice(3)])
    return open_directory(folder)


@pytest.mark.parametrize(
    "text", [*filter(None, TEXTS[:-1]), "strasse", "KöLn", "A.B*", "οδος", "\t", "%", "q", "x" * 999]
)
def test_a_text_is_found_in_any_part_whatever_its_case(directory, text):
    rows = []
    for number, row in enumerate(
        row for frame in directory.frames(["prompt", "chosen", "rejected"]) for row in frame.rows()
    ):
        parts = [part if isinstance(part, str) else "\0".join(turn["content"] for turn in part) for part in row]
        if any(text.casefold().replace("ss", "ß") in part.casefold().replace("ss", "ß") for part in parts):
            rows.append(number)
    if text == "strasse":
        rows = []  # letters one by one: ß is not ss
    assert rows_with_text(directory, text).tolist() == rows


@pytest.mark.parametrize(("text", "message"), [("x" * 1001, "1,001 characters"), ("\udc80", "not Unicode")])
def test_texts_that_cannot_be_looked_for(directory, text, message):
    with pytest.raises(SepoError, match=message):
        rows_with_text(directory, text)


CONDITIONS = {
    "margin > 3": [3, 4, 5, 6, 7],
    "margin > 3 AND NOT oracle_seen -- a comment": [3, 5, 7],
    "row = 'c' OR \"odd name\" = 6": [2, 6],
    "row_ < 2": [0, 1],  # there is a side column called row
    "pair_id IN (SELECT pair_id FROM pairs WHERE margin = (SELECT MAX(margin) FROM pairs))": [7],
    "margin = 1.5 /* a ) in a comment */": [1],
    "margin IS NULL": [],
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions(directory, condition):
    assert rows_where(directory, condition).tolist() == CONDITIONS[condition]


MISTAKES = {
    "margn > 0": ("there is no column margn", "did you mean margin?"),
    "odd > 0": ("there is no column odd", "odd name"),
    "chosen_mask": ("there is no column chosen_mask", "sepo select"),
    "": ("the condition is empty", "margin < 0"),
    "margin": ("WHERE has a number where a condition is needed", '--where "margin < 0"'),
    "margin > 0)": ("cannot be answered: it has one ) too many", "sepo query"),
    "margin >": ("cannot be answered: it ends where an expression is expected", "sepo query"),
    "margin\n> ]": ("line 2, column 3 has ]", "sepo query"),
    "1 = 1); DROP TABLE pairs; SELECT (1": ("", ""),
    "DROP TABLE pairs": ("line 1, column", "sepo query"),
    "read_csv('/etc/passwd')": ("a query reads the given directories and no other file", ""),
    "pair_id IN (SELECT a FROM read_csv('/etc/passwd'))": ("a query reads the given directories", ""),
    "nothing(margin) > 0": ("there is no function nothing", ""),
    "pair_id > 3": ("text is compared with a number", "CAST"),
    "(" * 60 + "1 = 1" + ")" * 60: ("brackets within each other", ""),
    "1 = 1" + " AND 1 = 1" * 400: ("operators and keywords", ""),
    "\udc80 = 1": ("", ""),
}


@pytest.mark.parametrize("condition", MISTAKES)
def test_conditions_that_cannot_be_answered(directory, condition):
    with pytest.raises(SepoError, match=r"^--where: ") as caught:
        rows_where(directory, condition)
    message, hint = MISTAKES[condition]
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "`--" not in caught.value.hint
