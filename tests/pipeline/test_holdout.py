"""Pairs that are held out: the oracle does not see them, scoring marks them, the policy is measured on them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from sepo_data.errors import SepoError
from sepo_data.preferences.reading import Reading
from sepo_data.selection.select import select
from sepo_data.shapes.pairs import Pair
from sepo_data.stages.scan import scan
from sepo_data.stages.seen_pairs import SEEN, read_oracle_record, write_seen_pairs
from sepo_train.models.tokenized_input import open_tokenized
from sepo_train.scoring.options import ScoringOptions
from sepo_train.scoring.score import score
from sepo_train.training.oracle import random_pairs, train_oracle
from sepo_train.training.policy import train
from sepo_train.training.selected_pairs import SelectedPairs
from sepo_train.training.settings import Training

pytestmark = pytest.mark.slow

TRAINING = Training(lr=1e-3, batch_size=8, seed=1)


@pytest.fixture(scope="module")
def reading(tmp_path_factory):
    """24 rows of 12 prompts; the last one cannot be used, the one before it was there before."""
    rows = [
        {"prompt": f"Is {number % 12} even?", "chosen": f" Look, {number}.", "rejected": " No idea."}
        for number in range(22)
    ]
    rows += [rows[3], rows[4] | {"chosen": ""}]
    file = tmp_path_factory.mktemp("holdout") / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Reading(str(file), holdout=5, dedupe=True)


@pytest.fixture(scope="module")
def stages(reading, tiny_models, tmp_path_factory):
    """The four directories, made with the same reading, and the manifests of the first and the last."""
    folder = tmp_path_factory.mktemp("stages")
    ref = str(tiny_models["ref"])
    oracle = train_oracle(reading, folder / "oracle", ref=ref, training=TRAINING)
    score(reading, folder / "rewards", oracle=str(folder / "oracle"), ref=ref, options=ScoringOptions(shard_rows=10))
    select(folder / "rewards", folder / "selection")
    return folder, oracle, train(folder / "selection", folder / "policy", policy=ref, training=TRAINING)


def test_no_prompt_is_on_both_sides(stages):
    folder, oracle, policy = stages
    rewards = scan(folder / "rewards").collect()
    assert rewards.height == 22
    prompts = {side: set(rows["prompt"]) for (side,), rows in rewards.group_by("split")}
    assert set(prompts) == {"train", "holdout"}
    assert not prompts["train"] & prompts["holdout"]
    held_out = rewards.filter(split="holdout")
    # two pairs of most prompts: six are the first number that is at least five
    assert held_out.height in (5, 6)
    assert not held_out["oracle_seen"].any()
    assert rewards.filter(split="train")["oracle_seen"].all()
    assert oracle.results["pairs_seen"] == 22 - held_out.height
    assert policy.results["pairs"] == 22 - held_out.height
    assert set(policy.results["eval"]) == {"before", "after"}


def test_the_oracle_writes_down_what_was_set_aside(stages):
    folder, oracle, _ = stages
    assert oracle.results["skipped"] == {"duplicate": 1, "empty_response": 1}
    lines = [json.loads(line) for line in (folder / "oracle" / "skipped.jsonl").read_text("utf-8").splitlines()]
    assert [(line["row"], line["reason"]) for line in lines] == [(22, "duplicate"), (23, "empty_response")]
    assert lines == [
        json.loads(line) for line in (folder / "rewards" / "skipped.jsonl").read_text("utf-8").splitlines()
    ]


def test_what_was_asked_for_is_in_the_plan(stages):
    _, oracle, _ = stages
    assert (oracle.options["holdout"], oracle.options["dedupe"]) == (5, True)
    assert "shuffle" not in oracle.options


def test_the_selection_carries_the_sides(stages):
    folder, *_ = stages
    frames = [scan(folder / stage).select("pair_id", "split").collect() for stage in ("rewards", "selection")]
    sides = [dict(frame.iter_rows()) for frame in frames]
    assert sides[0] == sides[1]
    pairs = SelectedPairs.open(folder / "selection")
    assert pairs.have_sides
    train_pairs, held_out = pairs.by_column()
    assert {pair.pair_id for pair in train_pairs} == {name for name, side in sides[1].items() if side == "train"}
    assert {pair.pair_id for pair in held_out} == {name for name, side in sides[1].items() if side == "holdout"}
    assert [len(side) for side in replace(pairs, rows=range(0)).by_column()] == [0, 0]


def test_a_share_beside_the_column_is_refused(stages, tiny_model, tmp_path):
    folder, *_ = stages
    with pytest.raises(SepoError, match=r"the column split of .* decides what is held out"):
        train(folder / "selection", tmp_path / "policy", policy=str(tiny_model), training=TRAINING, holdout="10%")


def test_an_oracle_that_saw_held_out_pairs_is_refused(stages, reading, tiny_model, tmp_path):
    folder, *_ = stages
    ref = str(tiny_model)
    with pytest.raises(SepoError, match=r"the oracle was trained on \d+ of the prompts that --holdout keeps out"):
        score(replace(reading, holdout=12), tmp_path / "rewards", oracle=str(folder / "oracle"), ref=ref)
    assert not (tmp_path / "rewards").exists()
    fewer = score(replace(reading, holdout=2), tmp_path / "fewer", oracle=str(folder / "oracle"), ref=ref, dry_run=True)
    assert fewer.results["rows"] == 22, "fewer held-out prompts are among those the oracle did not see"


def test_an_oracle_that_saw_other_pairs_of_held_out_prompts_is_refused(stages, reading, tiny_model, tmp_path):
    folder, *_ = stages
    record = read_oracle_record(str(folder / "oracle"))
    assert not score(reading, tmp_path / "r", oracle=str(folder / "oracle"), ref=str(tiny_model), dry_run=True).complete
    copied = shutil.copytree(folder / "oracle", tmp_path / "oracle")
    prepared = open_tokenized(reading, str(tiny_model))
    held_out = next(pair for pair in prepared.preferences if isinstance(pair, Pair) if pair.extra["split"] == "holdout")
    assert held_out.prompt_id not in record.prompt_ids
    others = [replace(held_out, chosen=f" Another answer, {number}.") for number in range(len(record.pair_ids))]
    write_seen_pairs(copied, others)
    with pytest.raises(SepoError, match="trained on 1 of the prompts"):
        score(reading, tmp_path / "r", oracle=str(copied), ref=str(tiny_model), dry_run=True)


def test_an_oracle_without_a_record_is_told(new_progress, reading, tiny_models, tmp_path):
    told = new_progress()
    models = {name: str(path) for name, path in tiny_models.items()}
    score(reading, tmp_path / "rewards", **models, dry_run=True, progress=told)
    assert any("may have seen pairs that are held out" in note for note in told)


def test_a_fraction_that_is_all_held_out(reading, tiny_model):
    prepared = open_tokenized(reading, str(tiny_model))
    held_out = {
        item.source_row for item in prepared.preferences if isinstance(item, Pair) if item.extra["split"] == "holdout"
    }
    seed = next(seed for seed in range(1000) if np.random.default_rng(seed).permutation(24)[0] in held_out)
    with pytest.raises(SepoError, match="all 1 pairs of this --fraction are held out"):
        random_pairs(prepared, 400, seed)  # 4% of 24 rows is one


def test_the_record_names_the_pairs_that_were_used(stages):
    folder, *_ = stages
    seen = [json.loads(line)["pair_id"] for line in (folder / "oracle" / SEEN).read_text("utf-8").splitlines()]
    rewards = scan(folder / "rewards").select("pair_id", "oracle_seen").collect()
    assert sorted(seen) == sorted(rewards.filter("oracle_seen")["pair_id"])


def test_the_first_bad_row_ends_both_where_that_is_asked_for(reading, tiny_models, tmp_path):
    models = {name: str(path) for name, path in tiny_models.items()}
    bad = r"row 23 cannot be used \(empty_response\): pairs\.jsonl line 24: chosen"
    with pytest.raises(SepoError, match=bad):
        train_oracle(reading, tmp_path / "oracle", ref=models["ref"], training=TRAINING, on_bad_row="fail")
    with pytest.raises(SepoError, match=bad):
        score(reading, tmp_path / "rewards", **models, options=ScoringOptions(on_bad_row="fail", shard_rows=20))
    with pytest.raises(SepoError, match=bad):
        score(reading, tmp_path / "dry", **models, options=ScoringOptions(on_bad_row="fail"), dry_run=True)
    assert not (tmp_path / "oracle").exists()
