"""Reading a stage directory: the ones that are refused, each with a sentence and a hint."""

import json

import pytest

from sepo_data.errors import SepoError
from sepo_data.schemas.stages import Stage
from sepo_data.selection.select import select
from sepo_data.stages.directory import is_complete, read_manifest, read_stage
from sepo_data.stages.runs import open_run
from sepo_data.stages.scan import scan
from tests.sepo_data.stages.test_writer import PLAN, write


@pytest.mark.parametrize("missing", ["state.json", "dataset_info.json", "sepo.json"])
def test_readers_refuse_what_is_not_whole(tmp_path, tables, missing):
    path = tmp_path / "out"
    write(path, tables)
    (path / missing).unlink()
    assert not is_complete(path)
    for read in (scan, lambda path: read_stage(path, Stage.REWARDS), lambda path: select(path, tmp_path / "selection")):
        with pytest.raises(SepoError, match="no sepo.json" if missing == "sepo.json" else "is incomplete"):
            read(path)
    assert not (tmp_path / "selection").exists()


def test_readers_refuse_other_stages_and_nothing(tmp_path, tables):
    write(tmp_path / "rewards", tables)
    with pytest.raises(SepoError, match="holds rewards, not selection") as caught:
        read_stage(tmp_path / "rewards", Stage.SELECTION)
    assert caught.value.hint == "`sepo select --help` shows how to make it"
    with pytest.raises(SepoError, match="does not exist"):
        scan(tmp_path / "nothing")
    open_run(tmp_path / "policy", PLAN.model_copy(update={"stage": Stage.POLICY, "complete": True}))
    assert is_complete(tmp_path / "policy"), "a model directory has no state.json"
    with pytest.raises(SepoError, match="holds policy, not rewards or selection"):
        scan(tmp_path / "policy")


@pytest.mark.parametrize("text", ["{", "[]", "\xff", '{"stage": "rewards"}'])
def test_a_manifest_that_cannot_be_read(tmp_path, text):
    (tmp_path / "sepo.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(SepoError, match=r"sepo\.json cannot be read"):
        read_manifest(tmp_path)
    with pytest.raises(SepoError, match=r"sepo\.json cannot be read"):
        open_run(tmp_path, PLAN, overwrite=True)
    assert (tmp_path / "sepo.json").exists()


@pytest.mark.parametrize("stage", Stage)
def test_a_directory_of_schema_version_1_is_refused_with_the_command_that_writes_it_again(tmp_path, stage):
    command = {"oracle": "oracle", "rewards": "score", "selection": "select", "policy": "train"}[stage]
    old = {"fingerprint": "0" * 16, "stage": stage, "schema_version": 1, "settings": {}, "results": {"path": "padded"}}
    (tmp_path / "sepo.json").write_text(json.dumps(old), encoding="utf-8")
    reads = (read_manifest, is_complete, lambda path: read_stage(path, stage), lambda path: open_run(path, PLAN))
    for read in (*reads, lambda path: open_run(path, PLAN, overwrite=True)):
        with pytest.raises(SepoError) as caught:
            read(tmp_path)
        assert str(caught.value) == f"{tmp_path} has schema version 1; this version of sepo reads version 2 alone"
        assert caught.value.hint == f"delete the directory and write it again with `sepo {command}`"
    assert json.loads((tmp_path / "sepo.json").read_text(encoding="utf-8")) == old


@pytest.mark.parametrize(("stage", "command"), [("rewards", "`sepo score`"), ("new", "the command that made it")])
def test_a_directory_of_a_later_schema_version_asks_for_a_newer_sepo(tmp_path, tables, stage, command):
    write(tmp_path, tables)
    fields = json.loads((tmp_path / "sepo.json").read_text(encoding="utf-8")) | {"schema_version": 3, "stage": stage}
    (tmp_path / "sepo.json").write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(SepoError, match="has schema version 3") as caught:
        read_manifest(tmp_path)
    assert caught.value.hint == f"upgrade sepo, or delete the directory and write it again with {command}"
