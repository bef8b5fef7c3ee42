"""The sentences on a directory."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from sepo_data.report.caption import REWARD, model_name, rule_text, source_text
from sepo_data.report.source import Source, open_sources
from sepo_data.schemas.manifest import ModelRecord


def record(name, revision=None):
    return ModelRecord(name=name, revision=revision, weights="w", parameters=1)


def with_manifest(source, **update):
    return replace(source, manifest=source.manifest.model_copy(update=update))


def test_pairs_and_response_tokens_are_counted(scored):
    [source] = open_sources([scored])
    assert source_text(source, of_rewards=False) == "rewards: 3 pairs, 17 response tokens."


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        ([True, False, True], " The oracle was trained on 2 of the pairs."),
        ([False, False, False], " The oracle was trained on none of the pairs."),
        ([True, None, False], " The oracle was trained on 1 of the 2 pairs of which that is recorded."),
        ([None, None, None], ""),
    ],
)
def test_pairs_that_the_oracle_has_seen_are_counted(scored, monkeypatch, seen, sentence):
    """Their rewards are larger than those of other pairs."""
    [source] = open_sources([scored])
    parts = [pl.DataFrame({"oracle_seen": pl.Series(part, dtype=pl.Boolean)}) for part in (seen[:1], seen[1:])]
    monkeypatch.setattr(Source, "frames", lambda self, columns: iter([part.select(columns) for part in parts]))
    assert source_text(source) == f"rewards: 3 pairs, 17 response tokens.{sentence}"


def test_the_models_of_the_rewards_are_named(scored):
    [source] = open_sources([scored])
    models = {"oracle": record("/home/me/runs/oracle"), "ref": record("org/model", "main")}
    assert source_text(with_manifest(source, models=models)).endswith(
        f"Oracle: oracle. Reference model: org/model. The oracle was trained on 2 of the pairs. {REWARD}"
    )
    without = source_text(with_manifest(source, models=models), of_rewards=False)
    assert without.endswith("Oracle: oracle. Reference model: org/model.")
    with_beta = with_manifest(source, models=models, options={"beta": 0.1})
    assert "Reference model: org/model. Beta: 0.1." in source_text(with_beta)
    both = source_text(with_beta, with_manifest(source, models=models))
    assert (both.count("Oracle: "), both.count(REWARD)) == (2, 1)
    other = {"ref": record("org/model", "main"), "judge": record("b")}
    assert source_text(with_manifest(source, models=other)).endswith(
        "Models: judge b, ref org/model. The oracle was trained on 2 of the pairs."
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("C:\\runs\\big", "big"),
        ("a/b/", "b"),
        ("/", "/"),
        ("s3://key:secret@store/runs/big?sig=1", "s3://store/runs/big"),
    ],
)
def test_folders_and_secrets_of_a_machine_are_not_shown(name, shown):
    assert model_name(record(name)) == shown


def test_a_selection_names_its_rule(selected):
    [source] = open_sources([selected])
    assert source_text(source, of_rewards=False) == (
        "selection: 3 pairs, 17 response tokens. Selected by top (chosen 30%, rejected 30%)."
    )
    options = {"rule": "mass", "share": "80%", "min_tokens": 2, "whole_words": True, "label": None}
    changed = with_manifest(source, options=options)
    assert rule_text(changed.manifest) == "mass (share 80%, min_tokens 2, whole_words true)"
    assert rule_text(with_manifest(source, options={}).manifest) == "a rule without a record"


def test_an_unfinished_directory_says_so(scored):
    [source] = open_sources([scored])
    assert source_text(replace(source, complete=False)).endswith("The directory is unfinished: 3 pairs so far.")


def test_a_model_directory_has_no_pairs(scored):
    [source] = open_sources([scored])
    model = with_manifest(source, stage="policy", models={"policy": record("a/big")})
    assert source_text(replace(model, shards=[])) == "rewards. Models: policy big."


def test_names_cannot_steer_the_reader(scored):
    [source] = open_sources([scored])
    hostile = replace(source, name="a\u202e\x1b[31m\n" + "b" * 500)
    text = source_text(with_manifest(hostile, models={"oracle": record("x\ny")}))
    assert text.isprintable()
    assert len(text) < 300
