"""Selection datasets as a trainer reads them."""

import pyarrow as pa
import pytest

from sepo_data.errors import SepoError
from sepo_data.preferences.holdout import HoldoutSize
from sepo_data.selection.select import select
from sepo_train.engine.layout import Tree
from sepo_train.training.selected_pairs import SelectedPairs, TrainingPair

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
        select(tmp_path / name / "rewards", tmp_path / name / "selection", chosen="50%", rejected="50%")
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
    seen, held_out = pairs.split(HoldoutSize(share=3000))
    sides = [{tuple(pair.tree.prompt_ids) for pair in side} for side in (seen, held_out)]
    assert not sides[0] & sides[1]
    assert len(seen) + len(held_out) == 80
    assert 4 <= len(sides[1]) <= 20, "about 12 of 40"
    assert [len(side) for side in pairs.split(HoldoutSize())] == [80, 0]
    assert [len(side) for side in pairs.split(HoldoutSize(share=10_000))] == [0, 80]
    # Other rows in another order: every prompt stays on its side.
    others = SelectedPairs.open(selection_of(prompts[::-3], (13, 14), "two"))
    again = [{tuple(pair.tree.prompt_ids) for pair in side} for side in others.split(HoldoutSize(share=3000))]
    assert again[0] <= sides[0]
    assert again[1] <= sides[1]
    smaller = {tuple(pair.tree.prompt_ids) for pair in pairs.split(HoldoutSize(share=1000))[1]}
    assert smaller <= sides[1]


def test_a_number_of_pairs_takes_complete_prompts_and_as_few_as_give_it(selection_of):
    """Of 10 prompts with 4 pairs each."""
    pairs = SelectedPairs.open(selection_of([[number % 10, 7] for number in range(40)], (40,)))
    before = set()
    for wanted, count in ((1, 4), (4, 4), (5, 8), (40, 40), (100, 40)):
        train, holdout = pairs.split(HoldoutSize(pairs=wanted))
        assert (len(train), len(holdout)) == (40 - count, count)
        prompts = [{tuple(pair.tree.prompt_ids) for pair in side} for side in (train, holdout)]
        assert not prompts[0] & prompts[1]
        assert before <= prompts[1], "a smaller holdout is a part of a larger one"
        before = prompts[1]
    share = {tuple(pair.tree.prompt_ids) for pair in pairs.split(HoldoutSize(share=5000))[1]}
    number = {tuple(pair.tree.prompt_ids) for pair in pairs.split(HoldoutSize(pairs=4 * len(share)))[1]}
    assert share == number, "a share and a number that come to as many pairs hold out the same"


def test_a_changed_shard_is_refused(selection_of):
    folder = selection_of([[1]], (1,))
    [file] = folder.glob("*.arrow")
    with pa.ipc.open_stream(file.read_bytes()) as reader:
        table = reader.read_all()
    with pa.ipc.new_stream(str(file), table.schema) as writer:
        short = pa.array([[True]], pa.large_list(pa.bool_()))
        place = table.schema.get_field_index("chosen_mask")
        writer.write_table(table.set_column(place, table.schema.field(place), short))
    with pytest.raises(SepoError, match="is changed: its SHA-256 begins with"):
        SelectedPairs.open(folder)
    with pytest.raises(SepoError, match="chosen_mask is not as long as chosen_ids"):
        SelectedPairs.open(folder, verify=False)
