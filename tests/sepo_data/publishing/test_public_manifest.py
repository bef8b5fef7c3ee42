"""Manifests without the names of folders."""

import pytest

from sepo_data.publishing.public_manifest import base_name, hub_datasets, public_manifest, without_folders
from sepo_data.schemas.manifest import InputRecord, Manifest, ModelRecord, TokenizerRecord
from sepo_data.schemas.stages import Stage

HOME = "/home/somebody/secret"


def source(name, split=None):
    return InputRecord(name=name, split=split, fingerprint="f", rows=3)


def model(name, revision=None):
    return ModelRecord(name=name, revision=revision, weights="w" * 64, parameters=7)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (f"{HOME}/prefs.jsonl", "prefs.jsonl"),
        ("~/data/prefs.jsonl", "prefs.jsonl"),
        ("data/rewards/", "rewards"),
        ("..", "a folder"),
        ("/", "a folder"),
        ("", "a folder"),
        ("C:\\Users\\somebody\\prefs.csv", "prefs.csv"),
        (f"file://{HOME}/prefs.jsonl", "prefs.jsonl"),
        ("https://user:password@example.org/prefs.jsonl?signature=1", "https://example.org/prefs.jsonl"),
        (f"https://example.org/a=1 {HOME}/b=2", "b=2"),
    ],
)
def test_base_name(name, shown):
    assert base_name(name) == shown


def test_datasets_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "here").mkdir()
    assert hub_datasets(source("org/pairs", "train")) == ["org/pairs"]
    assert hub_datasets(source("org/here", "train")) == [], "that is a folder"
    assert hub_datasets(source("org/pairs")) == [], "files have no split"
    assert hub_datasets(source("org/pairs.jsonl", "train")) == []
    assert hub_datasets(source("hf://datasets/org/pairs@main/data/*.parquet")) == ["org/pairs"]
    assert hub_datasets(source("org/one=0.7 local/prefs.jsonl=0.3 hf://datasets/org/two=1", "train")) == [
        "org/one",
        "org/two",
    ]


def test_a_public_manifest():
    manifest = Manifest(
        stage=Stage.REWARDS,
        input=source(f"org/one=0.7 {HOME}/prefs.jsonl=0.3", "train"),
        models={"oracle": model(f"{HOME}/oracle"), "ref": model("org/model", "abc")},
        tokenizer=TokenizerRecord(name="org/model", tokenizer="t", chat_template=None, vocabulary=9),
        options={"beta": 0.1},
        runtime={"log": f"{HOME}/log"},
        results={"layout": "shared prompt", "files": [f"{HOME}/x"], "inner": {"at": f"{HOME}/y"}},
        parent="p",
    )
    public = public_manifest(manifest)
    assert "somebody" not in public.to_json()
    assert public.fingerprint == manifest.fingerprint
    assert public.input.name == "org/one=0.7 prefs.jsonl=0.3"
    assert [record.name for record in public.models.values()] == ["oracle", "org/model"]
    assert public.tokenizer.name == "org/model"
    assert public.results == {"layout": "shared prompt", "files": ["x"], "inner": {"at": "y"}}
    assert public_manifest(public) == public
    assert Manifest.from_json(public.to_json()) == public


def test_a_directory_of_sepos_is_no_hub_id():
    manifest = Manifest(stage=Stage.POLICY, input=source("quickstart/selection", "train"), models={})
    assert public_manifest(manifest).input.name == "selection"


def test_what_is_no_path_stays():
    assert without_folders(["a / b", 1, None, True, 0.5, "top", "x/y"]) == ["a / b", 1, None, True, 0.5, "top", "x/y"]
