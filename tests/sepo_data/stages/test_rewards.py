"""Token rewards by hand, and the table of them; side columns of every odd kind."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from sepo_data.errors import SepoError
from sepo_data.schemas.stages import Stage
from sepo_data.schemas.validate import differences
from sepo_data.shapes.detect import detect_shape
from sepo_data.shapes.pairs import Pair
from sepo_data.stages.rewards import rewards_schema, rewards_table, token_rewards
from sepo_data.tokenization.tokenize import TokenizedPair

STRINGS = detect_shape(["prompt", "chosen", "rejected"], [{"prompt": "q", "chosen": "yes", "rejected": "no"}])


def logps(*values):
    return np.array(values, dtype=np.float32)


def test_by_hand():
    # Half of -1 less -3, of -2 less -2, and of -4 less -3.
    rewards = token_rewards(logps(-1, -2, -4), logps(-3, -2, -3), 0.5)
    assert rewards.tolist() == [1.0, 0.0, -0.5]
    assert rewards.dtype == np.float32


def test_an_oracle_that_is_the_reference_gives_exactly_zero():
    same = np.random.default_rng(0).normal(-5, 3, 1000).astype(np.float32)
    assert token_rewards(same, same.copy(), 0.1).tolist() == [0.0] * 1000


def test_beta_scales_and_keeps_the_order():
    oracle, ref = (np.random.default_rng(seed).normal(-5, 3, 500).astype(np.float32) for seed in (1, 2))
    one, four = token_rewards(oracle, ref, 1.0), token_rewards(oracle, ref, 4.0)
    assert (four == 4 * one).all(), "a power of two scales without rounding"
    assert (np.argsort(one, kind="stable") == np.argsort(four, kind="stable")).all()
    assert not token_rewards(oracle, ref, 0.0).any()


def pair(row=0, **extra):
    return Pair(row, f"q{row}", "yes", "no", extra)


def build(*extras, keep=None, sample=None, **options):
    """The table of one pair for each of `extras`, with the types of the first `sample` of them."""
    pairs = [pair(row, **extra) for row, extra in enumerate(extras)]
    tokenized = [TokenizedPair(item, [1, 2], [3, 4, 5], [6]) for item in pairs]
    keep = list(extras[0]) if keep is None else keep
    schema = rewards_schema(shape=STRINGS, pairs=pairs[:sample], keep=keep)
    values = {
        "oracle": [[logps(-1, -2, -3), logps(-1)] for _ in pairs],
        "ref": [[logps(-2, -2, -5), logps(-0.5)] for _ in pairs],
    }
    return rewards_table(tokenized, values, schema=schema, **({"beta": 0.5, "seen": None} | options))


def test_the_table():
    # chosen 0.5 * (1, 0, 2), rejected 0.5 * -0.5
    seen = pair(1).pair_id
    table = build({}, {}, seen=frozenset({seen}))
    assert differences(table, Stage.REWARDS) == []
    first, second = table.to_pylist()
    assert first == {
        "pair_id": pair(0).pair_id, "source_row": 0, "prompt": "q0", "chosen": "yes", "rejected": "no",
        "prompt_ids": [1, 2], "chosen_ids": [3, 4, 5], "rejected_ids": [6],
        "chosen_oracle_logps": [-1, -2, -3], "chosen_ref_logps": [-2, -2, -5],
        "rejected_oracle_logps": [-1], "rejected_ref_logps": [-0.5],
        "chosen_rewards": [0.5, 0.0, 1.0], "rejected_rewards": [-0.25],
        "prompt_tokens": 2, "chosen_tokens": 3, "rejected_tokens": 1,
        "chosen_reward": 1.5, "rejected_reward": -0.25, "margin": 1.75, "oracle_seen": False,
    }  # fmt: skip
    assert second["oracle_seen"] is True
    assert [row["oracle_seen"] for row in build({}).to_pylist()] == [None]


def test_no_pairs_are_a_table_too():
    schema = rewards_schema(shape=replace(STRINGS, conversational=True), pairs=[pair(tag="x")], keep=["tag"])
    table = rewards_table([], {"oracle": [], "ref": []}, beta=1.0, seen=None, schema=schema)
    assert (table.num_rows, table.schema) == (0, schema)
    assert differences(table, Stage.REWARDS) == []


@pytest.mark.parametrize("name", ["prompt", "margin", "chosen_ids", "chosen_mask", "rejected_selected"])
def test_names_of_our_own_columns_are_taken(name):
    """Those of a selection too, or `sepo select` would have two columns of one name."""
    with pytest.raises(SepoError, match=f"--keep-columns {name}: sepo's own columns have these names"):
        rewards_schema(shape=STRINGS, pairs=[pair(**{name: 1})], keep=["fine", name])


DAY = dt.date(2025, 1, 2)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([None, 1], pa.int64()),
        ([None, None], pa.string()),
        ([1, 1.5], pa.float64()),
        ([None, ["a", None], []], pa.list_(pa.string())),
        ([{"a": 1}, {"b": "x"}, None], pa.struct([("a", pa.int64()), ("b", pa.string())])),
        ([DAY, None], pa.date32()),
        ([True, False], pa.bool_()),
    ],
)
def test_side_columns_get_the_type_of_the_sample(values, kind):
    table = build(*({"side": value} for value in values))
    field = table.schema.field("side")
    assert field.type == kind
    assert field.metadata == {b"doc": b"of the input"}
    expected = [{"a": None, "b": None} | value if isinstance(value, dict) else value for value in values]
    assert table.column("side").to_pylist() == expected


@pytest.mark.parametrize(
    "values", [[1, "a"], ["a", 1], [[1], 2], [{"a": 1}, {"a": "x"}], [True, 2], [2**70], [1, 2**63], [object()]]
)
def test_values_without_a_common_type_name_the_column(values):
    with pytest.raises(SepoError, match="--keep-columns side: its values have no common type") as caught:
        build(*({"side": value} for value in values))
    assert caught.value.hint == "leave the column out"


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (1, 1.5),  # Arrow would write 1
        (1, "2"),
        ("a", 2),
        (1, 2**70),
        ({"a": 1}, {"a": 1, "b": 2}),  # Arrow would drop b
        ([], [1]),
        ([1], [1.5]),
        (True, 1),
    ],
)
def test_later_values_that_the_type_would_spoil_name_the_column(first, later):
    with pytest.raises(SepoError, match="--keep-columns side: "):
        build({"side": first}, {"side": later}, sample=1)


@pytest.mark.parametrize(
    ("first", "later"), [(1.5, 1), ("a", None), ({"a": 1, "b": 2}, {"a": 1}), ([1], []), (1, -(2**63))]
)
def test_later_values_that_fit(first, later):
    table = build({"side": first}, {"side": later}, sample=1)
    expected = {"a": 1, "b": None} if later == {"a": 1} else later
    assert table.column("side").to_pylist() == [first, expected]


def test_side_columns_stay_in_the_order_asked_for():
    assert build({"b": 1, "a": 2}, keep=["a", "b"]).column_names[-2:] == ["a", "b"]
