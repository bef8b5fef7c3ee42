"""The manifest: what decides the output is in the plan, where it was found is not."""

import json
import re
from pathlib import Path

import pydantic
import pytest

from sepo_data.errors import HubError, RefusedError, SepoError
from sepo_data.schemas.manifest import (
    InputRecord,
    Manifest,
    ModelRecord,
    SchemaVersionError,
    ShardRecord,
    TokenizerRecord,
    manifest_schema,
)
from sepo_data.schemas.stages import Stage, contract_text

ROOT = Path(__file__).resolve().parents[3]

MANIFEST = Manifest(
    stage=Stage.REWARDS,
    input=InputRecord(name="prefs.jsonl", fingerprint="aa", split="train", shape="explicit strings", rows=4),
    models={"ref": ModelRecord(name="ref", revision="main", weights="w1", parameters=7)},
    tokenizer=TokenizerRecord(name="ref", tokenizer="t1", chat_template=None, vocabulary=100),
    options={"beta": 0.1, "truncate": None, "keep": ["a", "ü"]},
    parent="0123456789abcdef",
    versions={"python": "3.11"},
    created="2025-01-01T00:00:00+00:00",
    complete=True,
    seconds=1.5,
    shards=[
        ShardRecord(file="a", rows=2, bytes=9, sha256="s", tokens={"chosen": 5}, skipped={"null": 1}),
        ShardRecord(file="b", rows=1, bytes=9, sha256="s", tokens={"chosen": 2, "prompt": 1}, notes={"truncated": 1}),
    ],
    results={"layout": "shared", "curve": [1, 2.5, None]},
)

SHARD = MANIFEST.shards[0].model_dump(mode="json")


def changed(**parts):
    """MANIFEST with dotted keys changed, by way of its JSON."""
    fields = MANIFEST.model_dump(mode="json")
    for key, value in parts.items():
        *path, last = key.split("__")
        inner = fields
        for name in path:
            inner = inner[name]
        inner[last] = value
    return Manifest.from_json(json.dumps(fields))


def test_json_round_trip():
    text = MANIFEST.to_json()
    assert Manifest.from_json(text) == MANIFEST
    assert json.loads(text)["fingerprint"] == MANIFEST.fingerprint
    assert text.endswith("}\n")
    assert list(json.loads(text))[:2] == ["fingerprint", "stage"]


def test_the_written_fingerprint_is_not_believed():
    fields = json.loads(MANIFEST.to_json()) | {"fingerprint": "0" * 16}
    assert Manifest.from_json(json.dumps(fields)).fingerprint == MANIFEST.fingerprint


SAME = [
    {"input__name": "elsewhere/prefs.jsonl"},
    {"models__ref__name": "/moved"},
    {"models__ref__revision": None},
    {"tokenizer__name": "/moved"},
    {"versions": {}},
    {"created": ""},
    {"complete": False, "seconds": None, "shards": [], "results": {}},
]
OTHER = {
    "input.fingerprint": {"input__fingerprint": "bb"},
    "input.rows": {"input__rows": 5},
    "input.split": {"input__split": "test"},
    "models.ref.weights": {"models__ref__weights": "w2"},
    "models.ref.parameters": {"models__ref__parameters": 8},
    "tokenizer.tokenizer": {"tokenizer__tokenizer": "t2"},
    "tokenizer.chat_template": {"tokenizer__chat_template": "c"},
    "options.beta": {"options__beta": 0.2},
    "options.truncate": {"options__truncate": "prompt"},
    "options.keep": {"options__keep": ["ü", "a"]},
    "parent": {"parent": None},
    "stage": {"stage": "selection"},
}


@pytest.mark.parametrize("parts", SAME)
def test_names_and_what_came_out_are_not_in_the_plan(parts):
    assert changed(**parts) != MANIFEST
    assert changed(**parts).fingerprint == MANIFEST.fingerprint
    assert MANIFEST.differing_keys(changed(**parts)) == []


@pytest.mark.parametrize("key", OTHER)
def test_what_decides_the_output_is(key):
    other = changed(**OTHER[key])
    assert other.fingerprint != MANIFEST.fingerprint
    assert [line.split(":")[0] for line in MANIFEST.differing_keys(other)] == [key]


def test_differing_keys_are_all_named_with_both_values():
    other = changed(options={"beta": 0.5, "new": "x" * 64}, models={})
    assert MANIFEST.differing_keys(other) == [
        "models.ref.parameters: 7 -> null",
        'models.ref.weights: "w1" -> null',
        "options.beta: 0.1 -> 0.5",
        'options.keep: ["a", "\\u00fc"] -> null',
        'options.new: null -> "xxxxxxxxxxxx...xxx"',
    ]


def test_fingerprint_is_stable():
    # What sha256sum says of the sorted JSON below. A change of it makes every directory on disk foreign.
    plan = Manifest(stage=Stage.ORACLE, input=InputRecord(name="n", fingerprint="f", rows=1), options={"b": 1, "a": 2})
    text = (
        '{"input.fingerprint": "f", "input.rows": 1, "input.shape": null, "input.split": null, "options.a": 2, '
        '"options.b": 1, "parent": null, "schema_version": 2, "stage": "oracle", "tokenizer": null}'
    )
    assert json.dumps(plan.plan(), sort_keys=True) == text
    assert plan.fingerprint == "989681ab3f95fa8f"
    assert re.fullmatch("[0-9a-f]{16}", MANIFEST.fingerprint)


def test_totals():
    assert MANIFEST.rows == 3
    assert MANIFEST.total("tokens") == {"chosen": 7, "prompt": 1}
    assert MANIFEST.total("skipped") == {"null": 1}
    assert MANIFEST.total("notes") == {"truncated": 1}


@pytest.mark.parametrize(
    "parts",
    [
        {"unknown": 1},
        {"input__path": "x"},
        {"models__ref__dtype": "x"},
        {"schema_version": "two"},
        {"stage": "scores"},
        {"input__rows": "many"},
        {"input__rows": -1},
        {"shards": [{**SHARD, "rows": -1}]},
        {"shards": [{**SHARD, "bytes": -1}]},
        {"shards": [{**SHARD, "tokens": {"chosen": -1}}]},
        {"shards": [{**SHARD, "skipped": {"null": -1}}]},
        {"shards": [{**SHARD, "notes": {"truncated": -1}}]},
    ],
)
def test_what_this_version_does_not_know_is_refused(parts):
    with pytest.raises(ValueError, match=r"1 validation error|Input should be"):
        changed(**parts)


@pytest.mark.parametrize("version", [1, 3])
def test_another_schema_version_is_named_before_anything_else_that_is_wrong(version):
    with pytest.raises(SchemaVersionError, match=f"schema version {version}, not 2") as caught:
        changed(schema_version=version, unknown=1)
    assert (caught.value.version, caught.value.stage) == (version, "rewards")


@pytest.mark.skipif(
    not pydantic.VERSION.startswith("2.14."), reason="pydantic's minor versions word a schema differently"
)
def test_the_contract_file_is_the_schema_of_the_model():
    text = (ROOT / "schemas" / "manifest.json").read_text(encoding="utf-8")
    assert text == manifest_schema() + "\n", "schemas/README.md has the command that writes it anew"


def test_the_contract_file_has_the_keys_of_a_manifest():
    schema = json.loads(contract_text("manifest.json"))
    fields = json.loads(MANIFEST.to_json())
    assert list(schema["properties"]) == list(fields)
    assert {"runtime", "options", "fingerprint"} <= fields.keys()


@pytest.mark.parametrize("text", ["", "[]", "null", '"x"', "{", "{}"])
def test_what_is_no_manifest_is_a_value_error(text):
    with pytest.raises(ValueError):
        Manifest.from_json(text)


def test_exit_codes():
    assert [kind("x").exit_code for kind in (SepoError, RefusedError, HubError)] == [1, 3, 4]
    assert issubclass(RefusedError, SepoError)
    assert (str(SepoError("m", "h")), SepoError("m", "h").hint, SepoError("m").hint) == ("m", "h", "")
