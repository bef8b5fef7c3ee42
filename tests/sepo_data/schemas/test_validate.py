"""The check of a table: every difference from the schema of its stage is named, all at once."""

import pyarrow as pa
import pytest

from sepo_data.errors import SepoError
from sepo_data.schemas.stages import MASK, MESSAGES, Stage
from sepo_data.schemas.validate import check_table, differences


def replace(table, name, values, kind=None):
    field = table.schema.field(name)
    column = pa.array(values, type=kind or field.type)
    return table.set_column(table.schema.get_field_index(name), field.with_type(column.type), column)


@pytest.fixture
def table(rewards_of):
    return rewards_of([([3.0, 1.0], [0.5]), ([1.0], [-1.0, 2.0])])


@pytest.mark.parametrize("messages", [False, True])
def test_valid_tables(rewards_of, messages):
    table = rewards_of([([3.0, 1.0], [0.5]), ([1.0], [-1.0, 2.0]), ([0.0], [0.0])], messages=messages)
    assert differences(table, Stage.REWARDS) == []
    check_table(table, Stage.REWARDS, "here")
    assert differences(table.slice(1, 1), Stage.REWARDS) == [], "a slice has offsets that do not start at 0"
    assert differences(pa.concat_tables([table, table.slice(1)]), Stage.REWARDS) == []
    assert differences(table.slice(0, 0), Stage.REWARDS) == []
    assert differences(table.append_column("mine", pa.array([float("nan"), None, 1.0])), Stage.REWARDS) == []


def test_rewards_are_no_selection(table):
    assert differences(table, Stage.SELECTION) == [
        "column chosen_mask is missing (large_list<item: bool>)",
        "column rejected_mask is missing (large_list<item: bool>)",
        "column chosen_selected is missing (int32)",
        "column rejected_selected is missing (int32)",
    ]


def test_all_differences_come_at_once(table):
    table = table.drop_columns(["source_row"])
    table = replace(table, "pair_id", ["x", None])
    table = replace(table, "chosen_ids", [[1, 2], [3]], pa.large_list(pa.int64()))
    table = replace(table, "rejected_rewards", [[0.5], [-1.0]])
    table = replace(table, "chosen_rewards", [[float("nan"), 1.0], [float("inf")]])
    table = replace(table, "rejected_ref_logps", [[float("-inf")], [None, -9.0]])
    table = replace(table, "margin", [float("nan"), None])
    table = replace(table, "oracle_seen", [None, None])
    assert differences(table, Stage.REWARDS) == [
        "column pair_id has 1 nulls",
        "column source_row is missing (int64)",
        "column chosen_ids is large_list<item: int64>, not large_list<item: int32>",
        "column rejected_ref_logps has 1 nulls",
        "column rejected_ref_logps has 1 NaN or infinite values",
        "column chosen_rewards has 2 NaN or infinite values",
        "column rejected_rewards is not as long as rejected_ids in 1 rows",
        "column margin has 1 nulls",
        "column margin has 1 NaN or infinite values",
    ]


def test_a_whole_list_that_is_null(table):
    assert differences(replace(table, "chosen_rewards", [None, [1.0]]), Stage.REWARDS) == [
        "column chosen_rewards has 1 nulls"
    ]


def test_32_bit_lists_are_refused(table):
    assert differences(replace(table, "prompt_ids", [[1], [2]], pa.list_(pa.int32())), Stage.REWARDS) == [
        "column prompt_ids is list<item: int32>, not large_list<item: int32>"
    ]


def test_text_of_two_kinds_or_of_none(table):
    mixed = replace(table, "chosen", [[], []], MESSAGES)
    assert differences(mixed, Stage.REWARDS) == [f"column chosen is {MESSAGES}, not string"]
    assert differences(replace(table, "prompt", [1, 2], pa.int64()), Stage.REWARDS) == [
        "column prompt is int64, not string"
    ]


def test_masks_are_aligned_as_well(table):
    masked = table
    for side, mask in (("chosen", [[True, False], [True]]), ("rejected", [[True], [True, False, False]])):
        masked = masked.append_column(f"{side}_mask", pa.array(mask, type=MASK))
        masked = masked.append_column(f"{side}_selected", pa.array([1, 1], type=pa.int32()))
    assert differences(masked, Stage.SELECTION) == ["column rejected_mask is not as long as rejected_ids in 1 rows"]


def test_the_error_names_place_problems_and_command(table):
    with pytest.raises(SepoError) as caught:
        check_table(table.drop_columns(["margin", "pair_id"]), Stage.REWARDS, "shard 3")
    assert str(caught.value) == (
        "shard 3 is not a valid rewards dataset:\n"
        "  column pair_id is missing (string)\n"
        "  column margin is missing (float)"
    )
    assert caught.value.hint.endswith("write it again with `sepo score`")
    with pytest.raises(SepoError) as caught:
        check_table(table, Stage.SELECTION, "x")
    assert caught.value.hint.endswith("write it again with `sepo select`")


def test_counts_that_are_wrong_or_zero(rewards_of):
    table = rewards_of([([3.0, 1.0], [0.5]), ([1.0], [-1.0, 2.0])])
    tampered = table.set_column(
        table.column_names.index("prompt_tokens"),
        "prompt_tokens",
        pa.array([77, *table["prompt_tokens"].to_pylist()[1:]], pa.int32()),
    )
    assert differences(tampered, Stage.REWARDS) == [
        "column prompt_tokens is not the number in prompt_ids, or is 0, in 1 rows"
    ]
