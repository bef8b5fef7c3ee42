"""Selected tokens: exactly k, the earliest among equals; and the dataset that records them."""

import hashlib
import json
import math

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepo_data.errors import RefusedError, SepoError
from sepo_data.readers.arrow_stream import map_stream
from sepo_data.schemas.stages import Stage
from sepo_data.schemas.validate import differences
from sepo_data.selection.filter import filters_of
from sepo_data.selection.parse import parse_rule, parse_weights
from sepo_data.selection.rules.top import top
from sepo_data.selection.select import select, select_many
from sepo_data.selection.selection import Selection
from sepo_data.share import format_share
from sepo_data.stages.directory import read_manifest
from sepo_data.stages.scan import scan

NAN = float("nan")


def mask(rewards, basis_points, *, highest):
    """One row's mask as a string of 1 and 0."""
    side = "chosen" if highest else "rejected"
    frame = pl.DataFrame({f"{side}_rewards": [rewards]}, schema={f"{side}_rewards": pl.List(pl.Float32)})
    [marks] = frame.select(top(format_share(basis_points)).mask(side)).to_series().to_list()
    return "".join(str(int(mark)) for mark in marks)


TINY = 2.0**-149  # the smallest float32 above 0
CASES = [
    # rewards, basis points, highest, lowest
    ([3.0, 1.0, 4.0, 1.0], 5000, "1010", "0101"),  # k = 2: 4 and 3; 1 and 1
    ([3.0, 1.0, 4.0, 1.0], 2500, "0010", "0100"),  # k = 1: of two equal lowest ones the first
    ([5.0, 5.0, 5.0, 5.0], 5000, "1100", "1100"),
    ([1.0, 2.0, 2.0, 2.0], 5000, "0110", "1100"),  # the cut is within a tie
    ([7.0], 1, "1", "1"),
    ([7.0], 10_000, "1", "1"),
    ([1.0, 2.0, 3.0], 10_000, "111", "111"),
    ([1.0, 2.0, 3.0], 1, "001", "100"),  # floor is 0, one is selected all the same
    ([1.0, 2.0, 3.0], 6666, "001", "100"),  # 1.9998
    ([1.0, 2.0, 3.0], 6667, "011", "110"),
    ([0.0, -0.0, 0.0, -0.0], 5000, "1100", "1100"),  # both zeros are equal
    ([-0.0, 0.0, 0.0, 0.0], 2500, "1000", "1000"),
    ([TINY, 0.0, -TINY, 2 * TINY], 5000, "1001", "0110"),  # denormals are not zeros
    ([-1.0, -2.0, -3.0], 3400, "100", "001"),
    ([3.4e38, -3.4e38, 0.0], 3400, "100", "010"),
]


@pytest.mark.parametrize(("rewards", "basis_points", "highest", "lowest"), CASES)
def test_by_hand(rewards, basis_points, highest, lowest):
    assert mask(rewards, basis_points, highest=True) == highest
    assert mask(rewards, basis_points, highest=False) == lowest


@pytest.mark.parametrize(("share", "selected"), [(700, 7), (2900, 29), (5700, 57), (5800, 58), (1, 1), (10_000, 100)])
def test_seven_percent_of_a_hundred_are_seven(share, selected):
    rewards = [math.sin(token) for token in range(100)]
    assert mask(rewards, share, highest=True).count("1") == selected
    assert mask(rewards, share, highest=False).count("1") == selected


def reference(rewards, basis_points, *, highest):
    """By sorting (reward, position), in plain Python."""
    order = sorted(range(len(rewards)), key=lambda token: (-rewards[token] if highest else rewards[token], token))
    kept = set(order[: max(1, len(rewards) * basis_points // 10_000)])
    return [token in kept for token in range(len(rewards))]


REWARDS = st.lists(
    st.floats(width=32, allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 1.0, -1.0, TINY, -TINY]),
    min_size=1,
    max_size=40,
)


@given(st.lists(st.tuples(REWARDS, REWARDS), min_size=1, max_size=5), st.integers(1, 10_000), st.integers(1, 10_000))
@settings(deadline=None)
def test_equals_sorting(pairs, chosen, rejected):
    frame = pl.LazyFrame(
        {"chosen_rewards": [pair[0] for pair in pairs], "rejected_rewards": [pair[1] for pair in pairs]},
        schema={"chosen_rewards": pl.List(pl.Float32), "rejected_rewards": pl.List(pl.Float32)},
    )
    rule = top(chosen=format_share(chosen), rejected=format_share(rejected))
    rows = rule.with_masks(frame).collect().to_dicts()
    for row, pair in zip(rows, pairs, strict=True):
        assert row["chosen_mask"] == reference(pair[0], chosen, highest=True)
        assert row["rejected_mask"] == reference(pair[1], rejected, highest=False)
        counts = [max(1, len(pair[index]) * share // 10_000) for index, share in enumerate((chosen, rejected))]
        assert [sum(row["chosen_mask"]), sum(row["rejected_mask"])] == counts


def test_a_long_response():
    # k = floor(0.3 * 100_000); all equal, so the first k.
    assert mask([1.0] * 100_000, 3000, highest=True) == "1" * 30_000 + "0" * 70_000


# The dataset.


PAIRS = [([3.0, 1.0, 4.0, 1.0], [0.0, -2.0]), ([1.0], [1.0, 1.0, 1.0]), ([0.5, 0.25], [2.0]), ([9.0, 8.0, 7.0], [-1.0])]
CHOSEN, REJECTED = ["1010", "1", "10", "100"], ["01", "100", "1", "1"]  # 50% and 50%


def masks(path, side):
    return ["".join(str(int(mark)) for mark in row) for row in scan(path).collect()[f"{side}_mask"].to_list()]


@pytest.mark.parametrize("messages", [False, True])
@pytest.mark.parametrize("shards", [1, 2, 4])
def test_the_dataset(tmp_path, rewards_of, write_rewards, shards, messages):
    rows = len(PAIRS) // shards
    tables = [
        rewards_of(PAIRS[first : first + rows], first=first, messages=messages) for first in range(0, len(PAIRS), rows)
    ]
    tables = [table.append_column("score", pa.array([0.5] * rows)) for table in tables]
    parent = write_rewards(tmp_path / "rewards", tables)
    manifest = select(tmp_path / "rewards", tmp_path / "selection", chosen="50%", rejected="50%")
    assert masks(tmp_path / "selection", "chosen") == CHOSEN
    assert masks(tmp_path / "selection", "rejected") == REJECTED
    ours, theirs = scan(tmp_path / "selection").collect(), scan(tmp_path / "rewards").collect()
    assert ours["chosen_selected"].to_list() == [2, 1, 1, 1]
    dropped = {name for name in theirs.columns if name.endswith("_logps")}
    assert len(dropped) == 4
    assert set(theirs.columns) - set(ours.columns) == dropped
    kept = [name for name in ours.columns if name in theirs.columns]
    assert ours.select(kept).equals(theirs.select(kept))
    assert ours.columns[-1] == "score"
    for file in sorted((tmp_path / "selection").glob("*.arrow")):
        assert differences(map_stream(file), Stage.SELECTION) == []
    assert manifest == read_manifest(tmp_path / "selection")
    assert (manifest.stage, manifest.rows, len(manifest.shards)) == (Stage.SELECTION, 4, shards)
    assert manifest.options == {"rule": "top", "chosen": "50%", "rejected": "50%"}
    assert (manifest.parent, manifest.input.fingerprint) == (parent.fingerprint, parent.fingerprint)
    assert (tmp_path / "selection" / "tokenizer" / "tokenizer.json").read_text() == "{}"


@pytest.fixture
def rewards(tmp_path, rewards_of, write_rewards):
    write_rewards(tmp_path / "rewards", [rewards_of(PAIRS[:2]), rewards_of(PAIRS[2:], first=2)])
    return tmp_path / "rewards"


class Listener:
    def __init__(self):
        self.notes, self.steps = [], []

    def note(self, text):
        self.notes.append(text)

    def step(self, done, total, text):
        self.steps.append((done, total, text))


def test_a_second_run_has_nothing_to_do(tmp_path, rewards):
    first, second = Listener(), Listener()
    out = tmp_path / "selection"
    manifest = select(rewards, out, progress=first)
    times = {file: file.stat().st_mtime_ns for file in out.rglob("*")}
    assert select(rewards, out, progress=second) == manifest
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*")} == times
    assert (first.notes, first.steps) == ([], [(1, 2, "2 pairs"), (2, 2, "2 pairs")])
    assert (second.notes, second.steps) == ([f"{out} is complete; nothing to do"], [])


def test_an_interrupted_selection_goes_on(tmp_path, rewards):
    class Stopped(Listener):
        def step(self, done, total, text):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        select(rewards, tmp_path / "out", progress=Stopped())
    listener = Listener()
    select(rewards, tmp_path / "out", progress=listener)
    assert listener.steps == [(2, 2, "2 pairs")]
    select(rewards, tmp_path / "clean")
    for file in (tmp_path / "clean").glob("data-*"):
        assert file.read_bytes() == (tmp_path / "out" / file.name).read_bytes()


def test_another_share_is_refused(tmp_path, rewards):
    out = tmp_path / "selection"
    select(rewards, out, chosen="30%")
    with pytest.raises(RefusedError, match=r'options.chosen: "30%" -> "31%"$'):
        select(rewards, out, chosen="31%")
    assert select(rewards, out, chosen="31%", overwrite=True).options["chosen"] == "31%"


def test_rewards_that_moved_are_the_same_rewards(tmp_path, rewards):
    manifest = select(rewards, tmp_path / "selection")
    rewards.rename(tmp_path / "moved")
    assert select(tmp_path / "moved", tmp_path / "selection") == manifest


def test_a_dry_run_writes_nothing(tmp_path, rewards):
    plan = select(rewards, tmp_path / "selection", dry_run=True)
    assert not (tmp_path / "selection").exists()
    assert plan.fingerprint == select(rewards, tmp_path / "selection").fingerprint


def tamper(folder, shard, change):
    """Write a shard again behind sepo's back, with its record."""
    file = sorted(folder.glob("*.arrow"))[shard]
    table = change(pa.ipc.open_stream(file.read_bytes()).read_all())
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    manifest = read_manifest(folder)
    shards = list(manifest.shards)
    shards[shard] = shards[shard].model_copy(
        update={"bytes": file.stat().st_size, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    )
    text = manifest.model_copy(update={"shards": shards}).to_json()
    (folder / "sepo.json").write_text(text, encoding="utf-8")
    return file


def with_rewards(values):
    def change(table):
        index = table.schema.get_field_index("chosen_rewards")
        field = table.schema.field(index)
        return table.set_column(index, field, pa.array(values, type=field.type))

    return change


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([[NAN, 0.25], [NAN, 8.0, float("inf")]], "column chosen_rewards has 3 NaN or infinite values"),
        ([[None, 0.25], [9.0, 8.0, 7.0]], "column chosen_rewards has 1 nulls"),
        ([[0.25], [9.0, 8.0, 7.0]], "column chosen_rewards is not as long as chosen_ids in 1 rows"),
    ],
)
def test_tampered_rewards_are_refused_by_file_and_count(tmp_path, rewards, values, problem):
    file = tamper(rewards, 1, with_rewards(values))
    with pytest.raises(SepoError) as caught:
        select(rewards, tmp_path / "selection")
    assert str(caught.value) == f"{file} is not a valid rewards dataset:\n  {problem}"
    with pytest.raises(SepoError, match="incomplete"):
        scan(tmp_path / "selection")


def test_a_lost_tokenizer_is_something_the_user_can_fix(tmp_path, rewards):
    (rewards / "tokenizer" / "tokenizer.json").unlink()
    (rewards / "tokenizer").rmdir()
    with pytest.raises(SepoError, match="tokenizer"):
        select(rewards, tmp_path / "selection")


def test_an_unfinished_or_other_parent_is_refused(tmp_path, rewards):
    select(rewards, tmp_path / "selection")
    with pytest.raises(SepoError, match="holds selection, not rewards"):
        select(tmp_path / "selection", tmp_path / "again")
    (rewards / "state.json").unlink()
    with pytest.raises(SepoError, match="is incomplete"):
        select(rewards, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_side_columns_of_any_kind_go_through(tmp_path, rewards_of, write_rewards):
    columns = {"tags": [["a"], []], "info": [{"n": 1}, None], "text": [None, "x"], "flag": [True, False]}
    table = rewards_of(PAIRS[:2])
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    write_rewards(tmp_path / "rewards", [table])
    select(tmp_path / "rewards", tmp_path / "selection")
    selected = map_stream(min((tmp_path / "selection").glob("*.arrow"))).select(list(columns))
    assert selected.equals(table.select(list(columns)))
    assert json.loads((tmp_path / "selection" / "state.json").read_text())["_data_files"] == [
        {"filename": "data-00000-of-00001.arrow"}
    ]


# Rules, filters, weights, and several selections at once.


def test_several_selections_are_what_each_is_alone(tmp_path, rewards):
    selections = {
        name: Selection(
            parse_rule(text), filters_of({"neighbours": window}), parse_weights(weights) if weights else None
        )
        for name, text, window, weights in [
            ("top", "top(50%)", 0, ""),
            ("wide", "top(1t)", 1, "softmax"),
            ("budget", "budget(60%)", 0, ""),
            ("random", "random(50%, seed=3)", 0, "tis"),
        ]
    }
    listener = Listener()
    outs = {tmp_path / name: selection for name, selection in selections.items()}
    manifests = select_many(rewards, outs, progress=listener)
    assert listener.steps == [(1, 2, "2 pairs"), (2, 2, "2 pairs")]
    for (name, selection), manifest in zip(selections.items(), manifests, strict=True):
        alone = select(rewards, tmp_path / f"{name} alone", selection)
        assert alone.fingerprint == manifest.fingerprint == read_manifest(tmp_path / name).fingerprint
        assert manifest.options == selection.options()
        assert manifest.results == alone.results
        for file in sorted((tmp_path / name).glob("*.arrow")):
            assert file.read_bytes() == (tmp_path / f"{name} alone" / file.name).read_bytes()
            table = map_stream(file)
            assert differences(table, Stage.SELECTION) == []
            assert ("chosen_weights" in table.column_names) == (selection.weights is not None)
    assert set(manifests[2].results["cuts"]) == {"chosen", "rejected"}
    assert manifests[0].results == {}


def test_several_selections_go_on_where_each_was(tmp_path, rewards):
    outs = {tmp_path / name: Selection(parse_rule(text)) for name, text in [("a", "top(50%)"), ("b", "all")]}
    select(rewards, tmp_path / "a", outs[tmp_path / "a"])
    listener = Listener()
    select_many(rewards, outs, progress=listener)
    assert listener.notes == [f"{tmp_path / 'a'} is complete; nothing to do"]
    assert masks(tmp_path / "b", "chosen") == ["1111", "1", "11", "111"]


def test_tampered_weights_are_found(tmp_path, rewards):
    select(rewards, tmp_path / "out", Selection(weights=parse_weights("linear")))
    table = map_stream(min((tmp_path / "out").glob("*.arrow")))
    kept = table.drop_columns(["rejected_weights"])
    assert differences(kept, Stage.SELECTION) == ["column rejected_weights is missing (large_list<item: float>)"]
