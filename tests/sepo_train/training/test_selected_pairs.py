"""Selection datasets as a trainer reads them."""

import pyarrow as pa
import pytest

from sepo_data.errors import SepoError
from sepo_data.selection.select import select
from sepo_train.engine.layout import Tree
from sepo_train.training.pair_trainer import TrainingPair
from sepo_train.training.selected_pairs import SelectedPairs

# Chosen keeps the highest, rejected the lowest half.
SIDES = ([3.0, 1.0, 2.0, 0.0], [5.0, 4.0])


@pytest.fixture
def selection_of(write_rewards, rewards_of, tmp_path):
    """Select half of the tokens of pairs with the given prompts, in shards of the given sizes."""

    def build(prompts, sizes, name="one"):
        tables, first = [], 0
        for size in sizes:
            table = rewards_of([SIDES] * size, first=first)
            ids = pa.array(prompts[first : first + size], pa.large_list(pa.int32()))
            lengths = pa.array(list(map(len, prompts[first : first + size])), pa.int32())
            for name_of, values in (("prompt_ids", ids), ("prompt_tokens", lengths)):
                at = table.schema.get_field_index(name_of)
                table = table.set_column(at, table.schema.field(at), values)
            tables.append(table)
            first += size
        write_rewards(tmp_path / name / "rewards", tables)
        select(tmp_path / name / "rewards", tmp_path / name / "selection", chosen=5000, rejected=5000)
        return tmp_path / name / "selection"

    return build


def test_pairs_across_shards(selection_of):
    pairs = SelectedPairs.open(selection_of([[1], [2, 2], [3, 3, 3]], (2, 1)))
    assert len(pairs) == 3
    keep = [True, False, True, False], [False, True]
    ids = [10, 11, 12, 13], [10, 11]
    assert pairs[0] == TrainingPair(f"{0:016x}", Tree([1], ids, keep))
    assert [list(pair.tree.prompt_ids) for pair in pairs] == [[1], [2, 2], [3, 3, 3]]
    assert [pair.pair_id for pair in pairs] == [f"{number:016x}" for number in range(3)]
    assert [pair.pair_id for pair in pairs[1:]] == [f"{number:016x}" for number in (1, 2)]
    assert pairs.longest == 3 + 4


def test_a_limit(selection_of):
    folder = selection_of([[1], [2], [3, 3, 3]], (3,))
    assert len(SelectedPairs.open(folder, limit=2)) == 2
    assert SelectedPairs.open(folder, limit=2).longest == 1 + 4
    assert len(SelectedPairs.open(folder, limit=9)) == 3


def test_a_prompt_is_on_one_side_and_stays_there(selection_of):
    prompts = [[number % 40, 7] for number in range(80)]
    pairs = SelectedPairs.open(selection_of(prompts, (80,)))
    seen, held_out = pairs.split(3000)
    sides = [{tuple(pair.tree.prompt_ids) for pair in side} for side in (seen, held_out)]
    assert not sides[0] & sides[1]
    assert len(seen) + len(held_out) == 80
    assert 4 <= len(sides[1]) <= 20, "about 12 of 40"
    assert [len(side) for side in pairs.split(0)] == [80, 0]
    assert [len(side) for side in pairs.split(10_000)] == [0, 80]
    # Other rows in another order: every prompt stays on its side.
    others = SelectedPairs.open(selection_of(prompts[::-3], (13, 14), "two"))
    again = [{tuple(pair.tree.prompt_ids) for pair in side} for side in others.split(3000)]
    assert again[0] <= sides[0]
    assert again[1] <= sides[1]
    smaller = {tuple(pair.tree.prompt_ids) for pair in pairs.split(1000)[1]}
    assert smaller <= sides[1]


def test_a_changed_shard_is_refused(selection_of):
    folder = selection_of([[1]], (1,))
    [file] = folder.glob("*.arrow")
    with pa.ipc.open_stream(file.read_bytes()) as reader:
        table = reader.read_all()
    with pa.ipc.new_stream(str(file), table.schema) as writer:
        short = pa.array([[True]], pa.large_list(pa.bool_()))
        place = table.schema.get_field_index("chosen_mask")
        writer.write_table(table.set_column(place, table.schema.field(place), short))
    with pytest.raises(SepoError, match="chosen_mask is not as long as chosen_ids"):
        SelectedPairs.open(folder)
