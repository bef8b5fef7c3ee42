"""Columns by which pairs are filtered."""

import base64
from datetime import date
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pytest

from sepo_data.report.pairs.side_columns import MOST_COLUMNS, MOST_VALUES, filter_columns, plain, side_columns
from sepo_data.report.source import open_sources
from sepo_data.schemas.stages import Stage, stage_schema


@pytest.fixture
def with_columns(tmp_path, rewards_of, write_rewards):
    """Write 30 pairs with side columns."""

    def write(columns):
        table = rewards_of([([0.5], [0.25])] * 30)
        for name, values in columns.items():
            table = table.append_column(name, values)
        schema = stage_schema(Stage.REWARDS, conversational=False, extra=list(table.schema)[-len(columns) :])
        write_rewards(tmp_path / "rewards", [table.cast(schema)])
        return open_sources([tmp_path / "rewards"])[0]

    return write


@pytest.fixture
def source(with_columns):
    """30 pairs with side columns of each kind."""
    columns = {
        "split": ["train", "test", None] * 10,
        "<b>": [True, False] * 15,
        "many": list(range(30)),
        "one": ["x"] * 30,
        "lists": [["x"]] * 30,
        "odd": ["a\u202eb", "c\nd"] * 15,
    }
    return with_columns({name: pa.array(values) for name, values in columns.items()})


def frame(source, names) -> pl.DataFrame:
    return next(source.frames(["oracle_seen", *names]))


def test_lists_are_no_values_to_choose_from(source):
    assert side_columns(source) == ["split", "<b>", "many", "one", "odd"]


def test_columns_of_few_values_filter(source):
    found = {column["name"]: column for column in filter_columns([source], [frame(source, side_columns(source))])}
    assert list(found) == ["oracle_seen", "split", "<b>", "odd"]
    assert found["split"]["values"] == ["(none)", "test", "train"]
    assert base64.b64decode(found["split"]["codes"])[:3] == bytes([2, 1, 0])
    assert found["<b>"]["values"] == ["no", "yes"]
    assert found["odd"]["values"] == ["a\\u202eb", "c\\nd"]
    assert MOST_VALUES < 30


def test_what_two_oracles_have_seen_is_one_filter_where_it_is_the_same(source, tmp_path, rewards_of, write_rewards):
    write_rewards(tmp_path / "other", [rewards_of([([0.5], [0.25])] * 30)])
    both = open_sources([tmp_path / "rewards", tmp_path / "other"])
    frames = [frame(both[0], side_columns(both[0])), frame(both[1], [])]
    names = [column["label"] for column in filter_columns(both, frames)]
    assert names == ["seen by the oracle", "split", "<b>", "odd"]
    frames[1] = frames[1].with_columns(~pl.col("oracle_seen"))
    names = [column["label"] for column in filter_columns(both, frames)]
    assert names[:2] == ["seen by the oracle of rewards", "seen by the oracle of other"]


def codes_of(made) -> list[str]:
    """The text of each pair."""
    return [made["values"][code] for code in base64.b64decode(made["codes"])]


@pytest.mark.parametrize(
    ("values", "shown", "order"),
    [
        (pa.array([10, 9, 2**60 + 1] * 10), ["10", "9", "1152921504606846977"], ["9", "10", "1152921504606846977"]),
        (pa.array([float("nan"), -0.0, 0.0] * 10), ["nan", "-0.0", "0.0"], None),
        (pa.array([date(2024, 10, 1), date(2024, 9, 1), None] * 10), ["2024-10-01", "2024-09-01", "(none)"], None),
        (pa.array([Decimal("10.5"), Decimal("9.5"), None] * 10), ["10.5", "9.5", "(none)"], ["(none)", "9.5", "10.5"]),
        (pa.array(["b", "a", "b"] * 10).dictionary_encode(), ["b", "a", "b"], ["a", "b"]),
        (pa.array(["x" * 10**5, "y", "</script>"] * 10), ["x" * 80 + "...", "y", "</script>"], None),
        (pa.array(["x" * 99 + "1", "x" * 99 + "2", "y"] * 10), ["x" * 80 + "..."] * 2 + ["y"], None),
        (pa.nulls(30), None, None),
    ],
    ids=lambda values: str(getattr(values, "type", "")),
)
def test_values_of_every_type_are_texts_in_their_own_order(with_columns, values, shown, order):
    source = with_columns({"side": values})
    made = [column for column in filter_columns([source], [frame(source, ["side"])]) if column["name"] == "side"]
    if shown is None:
        assert made == []
        return
    assert codes_of(made[0]) == shown * 10
    assert order is None or made[0]["values"] == order


def test_columns_without_end_are_cut(with_columns):
    names = [f"{number}{'n' * 10_000}" for number in range(50)]
    source = with_columns({name: pa.array(["a", "b"] * 15) for name in names})
    made = filter_columns([source], [frame(source, names)])
    assert len(made) == MOST_COLUMNS
    assert max(len(column["label"]) for column in made) < 100


def test_a_plain_text_is_one_line():
    assert plain("a\nb\tc\x1b") == "a\\nb\\tc\\x1b"
