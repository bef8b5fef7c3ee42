"""Faults that `sepo info` reports: sizes and presence always, every byte with --verify."""

import hashlib
import json
import shutil

import pytest

from sepo_data.analysis.faults import fault_lines, read_faults, verification_error, verified_line
from sepo_data.analysis.info import lines, read_info, summary
from sepo_data.schemas.manifest import InputRecord, Manifest, ModelRecord
from sepo_data.schemas.stages import Stage
from sepo_data.selection.select import select
from sepo_data.stages.runs import open_run
from sepo_data.stages.writer import open_stage
from sepo_data.storage.location import location
from tests.fixtures.damage import OF_FILES, OF_PLANS

MODEL = ModelRecord(name="", weights="w" * 64, parameters=1)


@pytest.fixture
def rewards(tmp_path, rewards_of, write_rewards):
    write_rewards(tmp_path / "rewards", [rewards_of([([1.0, 2.0], [0.5])], first=first) for first in range(3)])
    return tmp_path / "rewards"


def found(folder, *, verify):
    return list(map(str, read_faults(folder, read_info(folder), verify=verify)))


def edit(file, change):
    fields = json.loads(file.read_text(encoding="utf-8"))
    change(fields)
    file.write_text(json.dumps(fields), encoding="utf-8")


def test_a_whole_directory(tmp_path, rewards):
    select(rewards, tmp_path / "selection")
    for folder in (rewards, tmp_path / "selection"):
        assert found(folder, verify=False) == found(folder, verify=True) == []
        size = sum(file.stat().st_size for file in folder.glob("*.arrow"))
        tokenizer = " and the tokenizer" if folder != rewards else ""
        text = f"3 shards, {size:,} bytes{tokenizer}: each is what the manifest says"
        assert verified_line(read_info(folder)) == ("verified", text)


@pytest.mark.parametrize(
    ("name", "change", "without", "with_verify"),
    [
        ("data-00001-of-00003.arrow", lambda file: file.unlink(), "is missing", "is missing"),
        (
            "data-00001-of-00003.arrow",
            lambda file: file.write_bytes(file.read_bytes()[:-16]),
            "is cut: ",
            "is cut: ",
        ),
        (
            "data-00001-of-00003.arrow",
            lambda file: file.write_bytes(file.read_bytes()[::-1]),
            "",
            "is changed: its SHA-256 begins with ",
        ),
        (
            "data-00001-of-00003.arrow",
            lambda file: shutil.copy(file.with_name("data-00002-of-00003.arrow"), file),
            "",
            "holds the bytes of data-00002-of-00003.arrow",
        ),
        ("state.json", lambda file: file.unlink(), "is missing", "is missing"),
        ("state.json", lambda file: file.write_text("[]"), "cannot be read: TypeError", "cannot be read: TypeError"),
        ("dataset_info.json", lambda file: file.unlink(), "is missing", "is missing"),
        (
            "dataset_info.json",
            lambda file: edit(file, lambda fields: fields["features"].pop("margin")),
            "",
            "names other columns than data-00000-of-00003.arrow has",
        ),
        ("tokenizer", shutil.rmtree, "is missing", "is missing"),
    ],
)
def test_one_fault(rewards, name, change, without, with_verify):
    change(rewards / name)
    for verify, expected in ((False, without), (True, with_verify)):
        faults = found(rewards, verify=verify)
        assert len(faults) == bool(expected), faults
        assert not expected or faults[0].startswith(f"{name} {expected}")


def test_counts_of_the_manifest_are_compared_with_the_rows(rewards):
    def other_counts(fields):
        fields["shards"][0]["rows"] = 7
        fields["shards"][2]["tokens"]["chosen"] = 9

    edit(rewards / "sepo.json", other_counts)
    assert found(rewards, verify=True) == [
        "data-00000-of-00003.arrow has 1 rows, not 7",
        "data-00002-of-00003.arrow has 2 chosen tokens, not 9",
    ]


def test_the_lines_name_each_fault_and_the_command_that_mends_it(tmp_path, rewards):
    models = {role: MODEL.model_copy(update={"name": f"{role}/"}) for role in ("oracle", "ref")}
    manifest = read_info(rewards)
    source = manifest.input.model_copy(update={"name": "my prefs.jsonl"})
    manifest = manifest.model_copy(update={"input": source, "models": models})
    (rewards / "sepo.json").write_text(manifest.to_json(), encoding="utf-8")
    edit(rewards / "state.json", lambda fields: fields.update(_fingerprint=manifest.fingerprint))
    select(rewards, tmp_path / "selection")
    for folder, command in (
        (rewards, f"sepo score 'my prefs.jsonl' --oracle oracle/ --ref ref/ --out {rewards}"),
        (tmp_path / "selection", f"sepo select {rewards} --out {tmp_path / 'selection'}"),
    ):
        (folder / "data-00002-of-00003.arrow").unlink()
        manifest = read_info(folder)
        faults = read_faults(folder, manifest, verify=False)
        assert dict(lines(manifest, folder, faults))["stage"].endswith("(damaged; the faults are listed below)")
        assert list(fault_lines(folder, manifest, faults)) == [
            ("fault", "data-00002-of-00003.arrow is missing"),
            ("mend with", f"{command}, with the options above; files without a fault are kept"),
        ]
        answer = summary(folder, manifest, faults)
        assert not answer["complete"]
        assert answer["faults"] == [{"file": "data-00002-of-00003.arrow", "reason": "is missing"}]


@pytest.mark.parametrize("name", OF_PLANS)
def test_an_edited_manifest_is_made_anew_and_never_repaired(tmp_path, rewards, name):
    select(rewards, tmp_path / "selection")
    OF_PLANS[name](tmp_path / "selection")
    manifest = read_info(tmp_path / "selection")
    for verify in (False, True):
        faults = read_faults(tmp_path / "selection", manifest, verify=verify)
        assert "sepo.json" in {fault.file for fault in faults}
        *_, (label, text) = fault_lines(tmp_path / "selection", manifest, faults)
        assert (label, "--overwrite" in text) == ("mend with", True)
        assert "--overwrite" in verification_error(tmp_path / "selection", faults).hint


@pytest.mark.parametrize("name", [name for name in OF_FILES if "tokenizer" in name])
def test_the_files_of_the_tokenizer_are_compared(tmp_path, rewards, name):
    select(rewards, tmp_path / "selection")
    OF_FILES[name](tmp_path / "selection")
    [fault] = found(tmp_path / "selection", verify=True)
    assert fault.startswith("tokenizer/")


def test_an_incomplete_directory(tmp_path, rewards_of):
    plan = Manifest(stage=Stage.REWARDS, input=InputRecord(name="toy", fingerprint="f", rows=9))
    stage = open_stage(tmp_path, plan, shards=4)
    for index in (1, 3):
        stage.write_shard(index, rewards_of([([1.0], [0.5])]))
    assert found(tmp_path, verify=False) == found(tmp_path, verify=True) == []
    file = tmp_path / "data-00003-of-00004.arrow"
    file.write_bytes(file.read_bytes()[::-1])
    assert found(tmp_path, verify=False) == []
    assert found(tmp_path, verify=True)[0].startswith("data-00003-of-00004.arrow is changed")
    file.unlink()
    assert found(tmp_path, verify=False) == ["data-00003-of-00004.arrow is missing"]


def test_a_model_has_no_records(tmp_path):
    plan = Manifest(stage=Stage.POLICY, input=InputRecord(name="", fingerprint="f", rows=1), complete=True)
    open_run(tmp_path, plan)
    assert found(tmp_path, verify=True) == []
    assert verified_line(plan) == ("verified", "nothing: the files of a policy have no record")


def test_what_is_remembered_is_read_again(rewards, monkeypatch):
    assert found(rewards, verify=True) == []
    monkeypatch.setattr(hashlib, "file_digest", lambda _file, _name: hashlib.sha256(b"rotten"))
    assert len(found(rewards, verify=True)) == 3


def test_a_directory_in_a_store(store, rewards):
    there = location(store)
    for file in rewards.rglob("*"):
        if file.is_file():
            (there / file.relative_to(rewards).as_posix()).write_bytes(file.read_bytes())
    assert found(there, verify=False) == found(there, verify=True) == []
    shard = there / "data-00001-of-00003.arrow"
    shard.write_bytes(shard.read_bytes()[::-1])
    assert found(there, verify=False) == []
    assert [fault.split(":")[0] for fault in found(there, verify=True)] == ["data-00001-of-00003.arrow is changed"]
    shard.unlink()
    assert found(there, verify=False) == ["data-00001-of-00003.arrow is missing"]
