"""The files that complete a run."""

import json
import sys

import pytest

from sepo_data.schemas.manifest import InputRecord, Manifest, ModelRecord
from sepo_data.schemas.stages import Stage
from sepo_train.publishing.curve import draw_curve
from sepo_train.training.checkpoint import FINAL, METRICS, complete_run, remove_partial_checkpoints
from sepo_train.training.resume import CHECKPOINTS, TRAINER_STATE, last_checkpoint

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


def test_a_run_is_complete_without_a_picture(tmp_path, manifest, new_progress, monkeypatch):
    """Whatever keeps the curve from being drawn is a note; the run is not lost for it."""
    monkeypatch.setattr("sepo_train.training.checkpoint.draw_curve", draw_curve)
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    (tmp_path / METRICS).write_text('{"step": 1, "loss": 0.7}\n', encoding="utf-8")
    progress = new_progress()
    assert complete_run(manifest, tmp_path, started=0.0, results=SILENT_RESULTS, progress=progress).complete
    assert {path.name for path in tmp_path.iterdir()} == {METRICS, "README.md", "sepo.json"}
    reason = "figures need vl_convert, which is not installed; pip install 'sepo[report]'"
    assert progress == [f"no picture of the training curve: {reason}"]


def test_partial_checkpoints_are_removed(tmp_path):
    for name, state in (("checkpoint-2", "{}"), ("checkpoint-4", '{"glob'), ("checkpoint-6", None), (FINAL, None)):
        (tmp_path / CHECKPOINTS / name).mkdir(parents=True)
        if state is not None:
            (tmp_path / CHECKPOINTS / name / TRAINER_STATE).write_text(state, encoding="utf-8")
    remove_partial_checkpoints(tmp_path)
    assert list((tmp_path / CHECKPOINTS).iterdir()) == [last_checkpoint(tmp_path)]
