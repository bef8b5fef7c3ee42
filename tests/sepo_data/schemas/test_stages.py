"""The columns of the stage datasets, as the contract files have them."""

import json

import pyarrow as pa
import pytest

from sepo_data.schemas.manifest import SCHEMA_VERSION
from sepo_data.schemas.stages import MESSAGES, SIDES, TOOL_MESSAGES, Stage, contract_text, stage_schema

DATASETS = [Stage.REWARDS, Stage.SELECTION]


@pytest.mark.parametrize("conversational", [False, True])
@pytest.mark.parametrize("stage", DATASETS)
def test_every_column_says_what_it_is(stage, conversational):
    schema = stage_schema(stage, conversational=conversational)
    assert len(set(schema.names)) == len(schema.names)
    for field in schema:
        assert field.metadata[b"doc"].strip(), field.name
        if pa.types.is_large_list(field.type) and field.name.split("_")[-1] in {"rewards", "logps", "mask"}:
            assert field.metadata[b"aligned"].decode() == field.name.split("_")[0] + "_ids"


def test_columns_are_those_of_the_design():
    pair = "pair_id source_row prompt chosen rejected prompt_ids chosen_ids rejected_ids"
    logps = "chosen_oracle_logps chosen_ref_logps rejected_oracle_logps rejected_ref_logps"
    rewards = "chosen_rewards rejected_rewards prompt_tokens chosen_tokens rejected_tokens"
    sums = "chosen_reward rejected_reward margin oracle_seen"
    masks = "chosen_mask rejected_mask chosen_selected rejected_selected"
    side = pa.field("score", pa.float64())
    rewards_schema = stage_schema(Stage.REWARDS, conversational=False, extra=[side])
    assert rewards_schema.names == f"{pair} {logps} {rewards} {sums} score".split()
    selection_schema = stage_schema(Stage.SELECTION, conversational=True, extra=[side])
    assert selection_schema.names == f"{pair} {rewards} {sums} {masks} score".split()
    assert {selection_schema.field(part).type for part in ("prompt", "chosen", "rejected")} == {MESSAGES}
    assert rewards_schema.field("chosen_rewards").type == pa.large_list(pa.float32())


def test_both_sides_have_the_same_columns():
    names = stage_schema(Stage.SELECTION, conversational=False).names
    of = {side: {name.removeprefix(side) for name in names if name.startswith(side)} for side in SIDES}
    assert of["chosen"] == of["rejected"]


def test_the_contract_files_agree_on_what_they_share():
    rewards, selection, message = (
        json.loads(contract_text(f"{name}.json")) for name in ("rewards", "selection", "message")
    )
    assert {contract["schema_version"] for contract in (rewards, selection, message)} == {SCHEMA_VERSION}
    columns = {column["name"]: column for column in rewards["columns"]}
    shared = [column for column in selection["columns"] if column["name"] in columns]
    assert [columns[column["name"]] for column in shared] == shared
    assert len(shared) == 17


def test_a_wheel_reads_the_files_beside_the_module(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "sepo_data" / "schemas"
    package.mkdir(parents=True)
    (tmp_path / "site-packages" / "schemas").mkdir()
    (tmp_path / "site-packages" / "schemas" / "rewards.json").write_text("of another project")
    (package / "rewards.json").write_text("ours")
    monkeypatch.setattr("sepo_data.schemas.stages.__file__", str(package / "stages.py"))
    assert contract_text("rewards.json") == "ours"


def test_turns_have_further_keys_only_where_a_dataset_has_any():
    plain, rich = (stage_schema(Stage.REWARDS, conversational=True, tool_turns=rich) for rich in (False, True))
    assert plain.field("chosen").type == MESSAGES
    assert rich.field("chosen").type == TOOL_MESSAGES
    keys = [field.name for field in TOOL_MESSAGES.value_type]
    assert keys == ["role", "content", "tool_calls", "tool_call_id", "name", "reasoning_content", "thinking"]
    assert stage_schema(Stage.REWARDS, conversational=False, tool_turns=True).field("chosen").type == pa.string()


@pytest.mark.parametrize("stage", [Stage.ORACLE, Stage.POLICY])
def test_a_model_directory_has_no_columns(stage):
    with pytest.raises(ValueError, match=f"{stage} is not a stage dataset"):
        stage_schema(stage, conversational=False)
