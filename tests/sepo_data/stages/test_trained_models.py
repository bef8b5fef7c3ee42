"""Records in the folder of a trained model, and folders that do not count as one."""

import pytest

from sepo_data.schemas.manifest import InputRecord, Manifest, ModelRecord
from sepo_data.schemas.stages import Stage
from sepo_data.stages.trained_models import begun_on, note_oracle, start_of, token_options, trained_manifest

OPTIONS = {"max_length": 512, "truncate": "prompt", "template_date": "2024-07-26"}


def manifest(stage, *, options=OPTIONS, parent=None, place="data", **models):
    records = {role: ModelRecord(name=name, weights=name, parameters=1) for role, name in models.items()}
    source = InputRecord(name=place, fingerprint="f", rows=1)
    return Manifest(stage=stage, input=source, models=records, options=options, parent=parent)


def write(folder, found):
    folder.mkdir()
    (folder / "sepo.json").write_text(found.to_json(), encoding="utf-8")
    return str(folder)


def test_an_oracle(tmp_path):
    oracle = write(tmp_path / "oracle", manifest(Stage.ORACLE, ref="r"))
    assert start_of(oracle).name == "r"
    assert token_options(trained_manifest(oracle)) == OPTIONS
    assert begun_on(tmp_path / "oracle") == "2024-07-26"


def test_a_policy_has_the_options_of_the_rewards_that_its_selection_was_made_from(tmp_path):
    rewards = manifest(Stage.REWARDS, oracle="o", ref="r")
    write(tmp_path / "rewards", rewards)
    place = {"parent": rewards.fingerprint, "place": str(tmp_path / "rewards")}
    selection = manifest(Stage.SELECTION, options={"rule": "top"}, **place, oracle="o", ref="r")
    write(tmp_path / "selection", selection)
    place = {"parent": selection.fingerprint, "place": str(tmp_path / "selection")}
    policy = write(tmp_path / "policy", manifest(Stage.POLICY, options={}, **place, policy="p"))
    assert start_of(policy).name == "p"
    assert token_options(trained_manifest(policy)) == OPTIONS
    (tmp_path / "rewards" / "sepo.json").unlink()
    assert token_options(trained_manifest(policy)) == {}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"stage": "no"}', None])
def test_other_folders_are_no_trained_models(tmp_path, content):
    if content is not None:
        (tmp_path / "sepo.json").write_text(content)
    assert trained_manifest(str(tmp_path)) is None
    assert start_of(str(tmp_path)) is None
    assert begun_on(tmp_path) is None
    rewards = write(tmp_path / "rewards", manifest(Stage.REWARDS, oracle="o", ref="r"))
    assert trained_manifest(rewards) is None


@pytest.mark.parametrize(
    ("policy", "of_rewards", "warned"),
    [
        ("o", {"oracle": "o", "ref": "r"}, True),
        ("r", {"oracle": "o", "ref": "r"}, False),
        ("p", {"oracle": "o", "ref": "r"}, False),
        ("r", {"oracle": "r", "ref": "r"}, False),
        ("r", {}, False),
    ],
)
def test_an_oracle_as_the_policy_is_noted(new_progress, policy, of_rewards, warned):
    told, record = new_progress(), ModelRecord(name=policy, weights=policy, parameters=1)
    note_oracle(record, manifest(Stage.SELECTION, **of_rewards), told)
    assert len(told) == warned
    assert all("--policy o is the oracle" in note and "the reference r" in note for note in told)
