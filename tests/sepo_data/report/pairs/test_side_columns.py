"""Columns by which pairs are filtered."""

import base64

import polars as pl
import pyarrow as pa
import pytest

from sepo_data.report.pairs.side_columns import MOST_VALUES, filter_columns, plain, side_columns
from sepo_data.report.source import open_sources
from sepo_data.schemas.stages import Stage, stage_schema


@pytest.fixture
def source(tmp_path, rewards_of, write_rewards):
    """30 pairs with side columns of each kind."""
    table = rewards_of([([0.5], [0.25])] * 30)
    columns = {
        "split": ["train", "test", None] * 10,
        "<b>": [True, False] * 15,
        "many": list(range(30)),
        "one": ["x"] * 30,
        "lists": [["x"]] * 30,
        "odd": ["a\u202eb", "c\nd"] * 15,
    }
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    schema = stage_schema(Stage.REWARDS, conversational=False, extra=list(table.schema)[-len(columns) :])
    write_rewards(tmp_path / "rewards", [table.cast(schema)])
    return open_sources([tmp_path / "rewards"])[0]


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


def test_a_plain_text_is_one_line():
    assert plain("a\nb\tc\x1b") == "a\\nb\\tc\\x1b"
