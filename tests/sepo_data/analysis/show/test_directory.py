"""Pairs of a mapped dataset: one, or any in any order; few shards stay mapped."""

import numpy as np
import pytest

from sepo_data.analysis.show.directory import MAPPED_SHARDS, open_directory, shown_name
from sepo_data.schemas.manifest import InputRecord, Manifest
from sepo_data.schemas.stages import Stage
from sepo_data.selection.select import select
from sepo_data.stages.scan import scan
from sepo_data.stages.writer import open_stage
from sepo_data.storage.location import location


@pytest.fixture(scope="module")
def many(tmp_path_factory, rewards_of, write_rewards, texts):
    """33 pairs in 11 shards of 1 to 5, one of them empty."""
    folder = tmp_path_factory.mktemp("directory") / "rewards"
    sizes, tables, first = [3, 1, 5, 2, 0, 4, 5, 5, 3, 1, 4], [], 0
    for size in sizes:
        rewards = [([float(number), 0.5, 1.5][: number % 3 + 1], [0.5]) for number in range(first, first + size)]
        tables.append(rewards_of(rewards, first=first))
        first += size
    write_rewards(folder, tables, tokenizer=texts)
    return folder


def test_a_row_is_that_of_a_plain_read(many, tmp_path):
    directory, expected = open_directory(many), scan(many).collect()
    assert (directory.rows, directory.has_masks, directory.note) == (33, False, "")
    for number in [*range(33), *reversed(range(33))]:
        row = directory.row(number)
        assert row.to_dicts() == expected[number].select(row.columns).to_dicts()
        assert "chosen_oracle_logps" not in row.columns, "not shown, so not read"
        assert len(directory._mapped) <= MAPPED_SHARDS
    select(many, tmp_path / "selection")
    assert "chosen_mask" in open_directory(tmp_path / "selection").row(0).columns


@pytest.mark.parametrize("numbers", [[], [32, 0, 5, 5, 11, 10, 12], list(range(33)), [9, 8]])
def test_rows_come_in_the_order_that_is_asked_for(many, numbers):
    columns = ["pair_id", "chosen_rewards"]
    found = open_directory(many).rows_at(np.array(numbers, np.int64), columns)
    assert found.equals(scan(many).select(columns).collect()[numbers])


def test_an_unfinished_directory_in_a_store(store, rewards_of, texts):
    """Without the password of its URL in what people see."""
    folder = location(store) / "rewards"
    plan = Manifest(stage=Stage.REWARDS, input=InputRecord(name="toy", fingerprint="f", rows=4))
    stage = open_stage(folder, plan, shards=2)
    stage.write_folder("tokenizer", lambda path: (path / "tokenizer.json").write_text(texts, encoding="utf-8"))
    stage.write_shard(0, rewards_of([([1.0, 2.0], [0.5]), ([0.5], [1.0])]))
    directory = open_directory(folder)
    assert (directory.rows, directory.complete, directory.path) == (2, False, f"{store}/rewards")
    assert directory.note.startswith(store[:20])
    assert directory.note.endswith("/rewards is unfinished: these are the 2 pairs of 1 finished shard")
    assert directory.tokenizer.get_vocab_size()


def test_a_long_name_keeps_its_beginning_and_its_end():
    assert shown_name("a/b\n\x1b") == "a/b\\n\\x1b"
    assert shown_name("x" * 60) == "x" * 60
    name = shown_name(f"large/{'x' * 100}/rewards")
    assert len(name) <= 60
    assert (name[:6], name[-8:]) == ("large/", "/rewards")
