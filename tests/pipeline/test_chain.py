"""The whole way on a real model and real people's preferences."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from sepo_data.selection.quota import Quota
from sepo_data.selection.select import select
from sepo_data.stages.scan import scan
from sepo_train.engine.layout import Tree
from sepo_train.engine.layout_policy import PLAIN
from sepo_train.engine.logps import score_trees
from sepo_train.models.load import load_model
from sepo_train.models.tokenizers import load_tokenizer
from sepo_train.scoring.options import ScoringOptions
from sepo_train.scoring.score import score
from sepo_train.training.eval_metrics import evaluate_pairs
from sepo_train.training.objectives import objective
from sepo_train.training.oracle import train_oracle
from sepo_train.training.policy import train
from sepo_train.training.selected_pairs import SelectedPairs
from sepo_train.training.settings import Training

HELPFUL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "hh_helpful" / "test.jsonl.gz"
PAIRS, SEEN, STEP = 50, 4, Training(lr=1e-5, batch_size=4, micro_batch_size=2, seed=0)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """All of them: this model is not tiny."""


@pytest.fixture(scope="module")
def short_pairs(tmp_path_factory):
    """The 50 shortest pairs, so that two cores are done in a minute."""
    if not HELPFUL.exists():
        pytest.skip(f"{HELPFUL.parent} is not on this machine")
    with gzip.open(HELPFUL, "rt", encoding="utf-8") as lines:
        rows = sorted(map(json.loads, lines), key=lambda row: len(row["chosen"]) + len(row["rejected"]))
    usable = [row for row in rows if row["chosen"] != row["rejected"]][:PAIRS]
    file = tmp_path_factory.mktemp("chain") / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in usable), encoding="utf-8")
    return file


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.smollm
def test_from_preferences_to_a_policy(short_pairs, smollm_gguf, tmp_path):
    model, data = str(smollm_gguf), str(short_pairs)
    oracle = train_oracle(data, tmp_path / "oracle", ref=model, fraction=SEEN / PAIRS, training=STEP)
    assert oracle.results["first_loss"] == pytest.approx(0.693147, abs=1e-4)
    seen = oracle.results["pairs_seen"]
    assert 0 < seen <= SEEN, "rows that cannot be used are drawn as well"

    manifest = score(
        data, tmp_path / "rewards", oracle=str(tmp_path / "oracle"), ref=model, options=ScoringOptions(shard_rows=20)
    )
    assert manifest.results["layout"] == "shared prompt and cached prefix"
    assert manifest.rows + sum(manifest.total("skipped").values()) == PAIRS
    rewards = scan(tmp_path / "rewards").collect()
    assert rewards.height == manifest.rows > PAIRS // 2
    tokenizer = load_tokenizer(model)
    for row in rewards.iter_rows(named=True):
        for side in ("chosen", "rejected"):
            columns = [row[f"{side}_{name}"] for name in ("ids", "rewards", "oracle_logps", "ref_logps")]
            assert {len(values) for values in columns} == {row[f"{side}_tokens"]}
            assert max(columns[2] + columns[3]) <= 0
            text = "".join(turn["content"] for turn in row[side]) if isinstance(row[side], list) else row[side]
            assert text.strip() in tokenizer.decode(row[f"{side}_ids"])
            assert columns[0][-1] == tokenizer.eos_token_id, "the end of the turn is scored"
    finite = rewards.select(pl.col("chosen_rewards", "rejected_rewards").explode().is_finite().all())
    assert finite.row(0) == (True, True)
    assert rewards["oracle_seen"].sum() == seen
    # Training moves the pairs it has seen, and in the right direction.
    assert rewards.filter("oracle_seen")["margin"].mean() > 0
    assert rewards["chosen_rewards"].explode().abs().max() > 0

    reference = load_model(model, dtype="float32")
    for row in rewards.head(2).iter_rows(named=True):
        tree = Tree(row["prompt_ids"], (row["chosen_ids"], row["rejected_ids"]))
        [plain] = score_trees(reference, [tree], PLAIN, batch_tokens=1)
        for side, logps in zip(("chosen", "rejected"), plain, strict=True):
            assert row[f"{side}_ref_logps"] == pytest.approx(logps.tolist(), abs=1e-3)

    select(tmp_path / "rewards", tmp_path / "selection", chosen="30%", rejected="15%")
    for row in scan(tmp_path / "selection").collect().iter_rows(named=True):
        for side, share, extreme in (("chosen", 3000, max), ("rejected", 1500, min)):
            mask, values = row[f"{side}_mask"], row[f"{side}_rewards"]
            assert sum(mask) == row[f"{side}_selected"] == Quota(basis_points=share).k_of(len(values))
            assert mask[values.index(extreme(values))]

    policy = train(tmp_path / "selection", tmp_path / "policy", policy=model, training=STEP, limit=4)
    assert policy.results["pairs"] == 4
    trained = SelectedPairs.open(tmp_path / "selection", limit=4)
    before, after = (
        evaluate_pairs(load_model(name, dtype="float32"), trained, PLAIN, objective("sepo"))["rewards/margins"]
        for name in (model, str(tmp_path / "policy"))
    )
    assert after > before
