"""The files that complete a run."""

import json

import pytest

from sepo_data.schemas.manifest import InputRecord, Manifest, ModelRecord
from sepo_data.schemas.stages import Stage
from sepo_train.publishing.curve import draw_curve
from sepo_train.training.checkpoint import CHECKPOINTS, METRICS, TRAINER_STATE, complete_run, last_checkpoint

SILENT_RESULTS = {"pairs": 2, "first_loss": 0.7, "last_loss": 0.6}


@pytest.fixture
def manifest():
    return Manifest(
        stage=Stage.POLICY,
        input=InputRecord(name="selection", fingerprint="f", rows=2),
        models={"policy": ModelRecord(name="policy", parameters=1, weights="w" * 64)},
    )


def test_a_complete_run_has_its_curve_card_and_manifest_and_no_checkpoints(
    tmp_path, manifest, new_progress, monkeypatch
):
    monkeypatch.setattr("sepo_train.training.checkpoint.draw_curve", draw_curve)
    rows = [{"step": step, "loss": 0.7 - step / 10, "epoch": step / 2} for step in (1, 2)]
    (tmp_path / METRICS).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / CHECKPOINTS / "runs").mkdir(parents=True)
    (tmp_path / CHECKPOINTS / "checkpoint-2").mkdir()
    done = complete_run(manifest, tmp_path, started=0.0, results=SILENT_RESULTS, progress=new_progress())
    assert done.complete
    assert done.results == SILENT_RESULTS
    assert {path.name for path in tmp_path.iterdir()} == {METRICS, "curve.png", "README.md", "sepo.json", "runs"}


def test_the_last_checkpoint_is_the_newest_with_its_state(tmp_path):
    assert last_checkpoint(tmp_path) is None
    for step, complete in ((2, True), (10, True), (99, False)):
        folder = tmp_path / CHECKPOINTS / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        if complete:
            (folder / TRAINER_STATE).write_text("{}", encoding="utf-8")
    assert last_checkpoint(tmp_path).name == "checkpoint-10"
