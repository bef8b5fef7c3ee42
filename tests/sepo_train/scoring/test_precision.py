"""Results of --check-precision, against a computation in plain Python."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from sepo_data.preferences.reading import Reading
from sepo_data.readers.arrow_stream import map_stream
from sepo_train.engine.layout import Tree
from sepo_train.engine.layout_policy import PLAIN
from sepo_train.engine.logps import score_trees
from sepo_train.models.load import load_model
from sepo_train.scoring.options import ScoringOptions
from sepo_train.scoring.score import score

SIDES = ("chosen", "rejected")
FOUR_A_SHARD = ScoringOptions(shard_rows=4, beta=0.5, models_in_memory=2)


def rows(folder):
    return [entry for file in sorted(folder.glob("*.arrow")) for entry in map_stream(file).to_pylist()]


@pytest.fixture(scope="module")
def given(twelve_pairs, tiny_models, tmp_path_factory):
    """The oracle is so close to the reference that rounding decides which tokens are selected."""
    oracle = shutil.copytree(tiny_models["ref"], tmp_path_factory.mktemp("close") / "oracle")
    model = load_model(str(oracle), dtype="float32")
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 1e-3 * torch.randn_like(parameter)
    model.save_pretrained(oracle)
    models = {"oracle": str(oracle), "ref": str(tiny_models["ref"])}
    return models | {"dataset": str(twelve_pairs)}


@pytest.fixture(scope="module")
def rounded(new_progress, given, tmp_path_factory):
    """Scored in bfloat16 with a check of four of the eleven pairs: the folder, the manifest and the notes."""
    out, notes = tmp_path_factory.mktemp("rounded") / "rewards", new_progress()
    return (
        out,
        score(out=out, **given, options=replace(FOUR_A_SHARD, dtype="bfloat16", check_precision=4), progress=notes),
        notes,
    )


def selected(rewards, share, *, highest):
    """The places of the `share` (a percentage) highest or lowest values, the earlier one of two equal ones."""
    count = max(1, len(rewards) * share // 100)
    order = sorted(range(len(rewards)), key=lambda place: (-rewards[place] if highest else rewards[place], place))
    return set(order[:count])


def test_rounding_is_recorded_and_told(rounded, given):
    folder, manifest, notes = rounded
    found = manifest.results["precision"]
    assert json.loads((folder / "sepo.json").read_text())["results"] == manifest.results
    assert manifest.results["layout"], "what was recorded before is still there"
    assert found["pairs"] == 4
    models = {role: load_model(given[role], dtype="float32") for role in ("oracle", "ref")}
    deltas = {"oracle_logps": [], "ref_logps": [], "rewards": []}
    both = {(share, side): [0, 0] for share in (10, 30, 50) for side in SIDES}
    scored = rows(folder)
    for entry in [scored[place] for place in (0, 2, 5, 8)]:  # four of eleven, evenly spread
        for side in SIDES:
            tree = Tree(entry["prompt_ids"], (entry[f"{side}_ids"],))
            exact = {
                f"{role}_logps": score_trees(model, [tree], PLAIN, batch_tokens=1)[0][0].numpy()
                for role, model in models.items()
            }
            exact["rewards"] = np.float32(0.5) * (exact["oracle_logps"] - exact["ref_logps"])
            for kind, values in exact.items():
                deltas[kind] += [abs(float(a) - b) for a, b in zip(values, entry[f"{side}_{kind}"], strict=True)]
            for share in (10, 30, 50):
                one, other = (
                    selected(list(values), share, highest=side == "chosen")
                    for values in (entry[f"{side}_rewards"], exact["rewards"])
                )
                both[share, side][0] += len(one & other)
                both[share, side][1] += len(one | other)
    for kind, values in deltas.items():
        assert found[kind]["max"] == pytest.approx(max(values), rel=1e-2)
        assert found[kind]["mean"] == pytest.approx(sum(values) / len(values), rel=1e-2)
        assert 0 < found[kind]["mean"] < found[kind]["max"]
    agreement = {(share, side): common / either for (share, side), (common, either) in both.items()}
    assert {(share, side): found["agreement"][f"{share}%"][side] for share, side in both} == pytest.approx(
        agreement, abs=1e-4
    )
    assert 0 < min(agreement.values()) < 1, "otherwise this test could not fail"
    [sentence] = [note for note in notes if note.startswith("precision: ")]
    assert "4 pairs again in fp32" in sentence
    assert f"{found['rewards']['mean']} on average, {found['rewards']['max']} at most" in sentence
    assert f"30% chosen {found['agreement']['30%']['chosen']}" in sentence


@pytest.mark.slow
def test_full_precision_agrees_with_itself(given, tmp_path):
    found = score(out=tmp_path / "rewards", **given, options=replace(FOUR_A_SHARD, check_precision=11)).results[
        "precision"
    ]
    assert found["pairs"] == 11
    assert all(found[kind]["max"] < 1e-4 for kind in ("oracle_logps", "ref_logps", "rewards"))
    assert all(share >= 0.95 for sides in found["agreement"].values() for share in sides.values())


def test_asked_for_afterwards_it_scores_nothing_again(new_progress, rounded, given, monkeypatch):
    folder, manifest, _ = rounded
    data = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.glob("data-*")}
    monkeypatch.setattr("sepo_train.scoring.pair_scorer.score_trees", None)
    notes = new_progress()
    again = score(
        out=folder, **given, options=replace(FOUR_A_SHARD, dtype="bfloat16", check_precision=2), progress=notes
    )
    assert again.results["precision"]["pairs"] == 2
    assert again.results["layout"] == manifest.results["layout"]
    assert f"{folder} is complete (3 of 3 shards); nothing to do" in notes
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.glob("data-*")} == data
    assert score(out=folder, **given, options=replace(FOUR_A_SHARD, dtype="bfloat16")) == again, (
        "the same command without it keeps what was found"
    )
    once_more = score(out=folder, **given, options=replace(FOUR_A_SHARD, dtype="bfloat16", check_precision=4))
    assert once_more.results == manifest.results
    monkeypatch.setattr("sepo_train.scoring.precision.score_trees", None)
    notes = new_progress()
    assert (
        score(out=folder, **given, options=replace(FOUR_A_SHARD, dtype="bfloat16", check_precision=4), progress=notes)
        == once_more
    )
    assert any(note.startswith("precision: 4 pairs") for note in notes), "what is recorded is noted, not computed again"


def test_more_pairs_than_there_are(rounded, given):
    folder, *_ = rounded
    found = score(out=folder, **given, options=replace(FOUR_A_SHARD, dtype="bfloat16", check_precision=1000)).results[
        "precision"
    ]
    assert found["pairs"] == 11


def test_a_dataset_of_one_pair(given, tmp_path):
    one = Reading(given["dataset"], limit=1)
    manifest = score(
        out=tmp_path / "rewards", **given | {"dataset": one}, options=replace(FOUR_A_SHARD, check_precision=3)
    )
    assert manifest.results["precision"]["pairs"] == 1
    assert manifest.results["precision"]["rewards"]["max"] < 1e-4
    assert {share for sides in manifest.results["precision"]["agreement"].values() for share in sides.values()} == {1.0}
