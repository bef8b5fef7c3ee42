"""One pair, read: its texts, rewards and masks."""

import io

import pyarrow as pa
import pytest
from rich.console import Console

from sepo_data.analysis.show.pair import read_pair
from sepo_data.analysis.show.render import render_pair
from sepo_data.errors import SepoError
from sepo_data.selection.select import select
from sepo_data.stages.scan import scan


def marked(tokens):
    return "".join(str(int(token.selected)) for token in tokens)


def test_read_pair(folder):
    pair = read_pair(folder, "0", chosen="40%", rejected="50%")
    assert (pair.row, pair.pair_id, pair.margin, pair.oracle_seen) == (0, "0" * 16, 6.5, True)
    assert [token.text for token in pair.chosen] == ["h", "", "é", "y", "\n"]
    assert [token.reward for token in pair.chosen] == [3.0, 0.0, 1.0, -2.0, 1.0]
    assert [token.position for token in pair.chosen] == [0, 1, 2, 3, 4]
    assert [token.token_id for token in pair.rejected] == pair_ids(folder, "rejected_ids")
    assert "".join(token.text for token in pair.rejected) == "no"
    # 40% of 5 is 2: rewards 3 and the earlier of the two ones; 50% of 2 is 1.
    assert (marked(pair.chosen), marked(pair.rejected)) == ("10100", "01")


def pair_ids(folder, column):
    return scan(folder).collect()[column].to_list()[0]


def test_by_number_or_id(folder, tmp_path):
    assert read_pair(folder, "1").pair_id == f"{1:016x}"
    assert read_pair(folder, f"{1:016x}").row == 1
    select(folder, tmp_path / "selection", chosen="40%", rejected="50%")
    for number in "01":
        pair = read_pair(folder, number, chosen="40%", rejected="50%")
        assert read_pair(tmp_path / "selection", number, chosen="0.01%", rejected="0.01%") == pair, (
            "its own masks count"
        )


def test_an_id_with_copies_is_that_of_the_first(tmp_path, rewards_of, write_rewards, tokenizer):
    table = rewards_of([([1.0], [0.0])] * 4)
    table = table.set_column(0, table.schema.field("pair_id"), pa.array(["a0", "b1", "b1", "b1"]))
    write_rewards(tmp_path / "rewards", [table.slice(0, 2), table.slice(2)], tokenizer=tokenizer.to_str())
    for pair, row, copies in (("0", 0, 1), ("2", 2, 1), ("a0", 0, 1), ("b1", 1, 3)):
        found = read_pair(tmp_path / "rewards", pair)
        assert (found.row, found.copies) == (row, copies)
        shown = Console(width=200, file=io.StringIO())
        shown.print(render_pair(found, colours="none"))
        assert ("first of 3 copies" in shown.file.getvalue()) == (copies > 1)


@pytest.mark.parametrize("pair", ["2", "-1", "zzz", "", "0000000000000009", "²"])
def test_unknown_pair(folder, pair):
    with pytest.raises(SepoError, match="has no pair") as caught:
        read_pair(folder, pair)
    assert caught.value.hint.startswith("give a number from 0 to 1, or a pair_id")
    assert ("; did you mean 000000000000000" in caught.value.hint) == (len(pair) == 16)


def test_no_pairs_at_all(tmp_path, rewards_of, write_rewards):
    write_rewards(tmp_path / "none", [rewards_of([([1.0], [1.0])]).slice(0, 0)])
    with pytest.raises(SepoError, match="has no pair '0'"):
        read_pair(tmp_path / "none", "0")
