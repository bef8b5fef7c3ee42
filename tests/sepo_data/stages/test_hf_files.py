"""The JSON files beside the shards: `datasets` opens the directory, with the features that it would derive itself."""

import datetime as dt
import decimal

import datasets
import pyarrow as pa
import pytest

from sepo_data.schemas.stages import Stage, stage_schema
from sepo_data.selection.select import select
from sepo_data.stages.hf_files import dataset_info


@pytest.mark.parametrize("messages", [False, True])
@pytest.mark.parametrize("stage", [Stage.REWARDS, Stage.SELECTION])
def test_datasets_opens_it(tmp_path, rewards_of, write_rewards, stage, messages):
    tables = [rewards_of([([3.0, 1.0], [0.5])] * 2, messages=messages), rewards_of([([1.0], [2.0])], messages=messages)]
    write_rewards(tmp_path / "rewards", tables)
    path = tmp_path / stage
    if stage is Stage.SELECTION:
        select(tmp_path / "rewards", path)
    opened = datasets.load_from_disk(path)
    assert opened.num_rows == 3
    assert opened.column_names == stage_schema(stage, conversational=messages).names
    assert opened.features["chosen_ids"] == datasets.LargeList(datasets.Value("int32"))
    assert opened.features["chosen_rewards"] == datasets.LargeList(datasets.Value("float32"))
    turn = {"role": datasets.Value("string"), "content": datasets.Value("string")}
    assert opened.features["chosen"] == (datasets.LargeList(turn) if messages else datasets.Value("string"))
    assert (
        opened.with_format("arrow")[:2].select(["chosen_rewards"]).to_pylist() == [{"chosen_rewards": [3.0, 1.0]}] * 2
    )
    assert opened[2]["chosen"] == ([{"role": "assistant", "content": "yes ä"}] if messages else "yes ä")
    assert opened.filter(lambda row: row["chosen_tokens"] == 1, keep_in_memory=True).num_rows == 1
    if stage is Stage.SELECTION:
        assert opened[0]["chosen_mask"] == [True, False]


TURN = pa.struct([("role", pa.string()), ("days", pa.list_(pa.date32()))])
SIDE = {
    "truth": [True, None],
    "int": [1, None],
    "float": [1.5, None],
    "text": ["a", None],
    "bytes": [b"a", None],
    "day": [dt.date(2025, 1, 2), None],
    "clock": [dt.time(1, 2), None],
    "moment": [dt.datetime(2025, 1, 2, 3), None],  # noqa: DTZ001 - both kinds are tested
    "moment_utc": [dt.datetime(2025, 1, 2, 3, tzinfo=dt.UTC), None],
    "span": [dt.timedelta(seconds=1), None],
    "price": [decimal.Decimal("1.25"), None],
    "nothing": [None, None],
    "list": [[1, 2], None],
    "empty": [[], []],
    "struct": [{"role": "x", "days": [dt.date(2025, 1, 2)], "deep": {"n": 1}}, None],
    "structs": [[{"a": 1}], []],
}


def test_features_are_those_that_datasets_would_derive():
    kinds = [
        pa.float16(),
        pa.int8(),
        pa.uint64(),
        pa.date64(),
        pa.timestamp("ns", "Europe/Berlin"),
        pa.large_list(TURN),
    ]
    fields = [pa.field(name, pa.array(values).type) for name, values in SIDE.items()]
    fields += [pa.field(str(kind), kind) for kind in kinds]
    schemas = [pa.schema(fields)]
    for stage in (Stage.REWARDS, Stage.SELECTION):
        schemas += [stage_schema(stage, conversational=both, extra=fields) for both in (False, True)]
    for schema in schemas:
        ours = dataset_info(schema)["features"]
        assert ours == datasets.Features.from_arrow_schema(schema).to_dict()
        assert datasets.Features.from_dict(ours) == datasets.Features.from_arrow_schema(schema)


def test_datasets_opens_side_columns(tmp_path, rewards_of, write_rewards):
    table = rewards_of([([3.0, 1.0], [0.5])] * 2)
    for name, values in SIDE.items():
        table = table.append_column(name, pa.array(values))
    write_rewards(tmp_path / "rewards", [table])
    select(tmp_path / "rewards", tmp_path / "selection")
    for path in (tmp_path / "rewards", tmp_path / "selection"):
        opened = datasets.load_from_disk(path).select_columns(list(SIDE))
        assert opened.with_format("arrow")[:].to_pydict() == SIDE
