"""While pairs are scored: the longest row of a shard is scored again by itself, and weights stay as they were."""

import json

import pytest
import torch

from sepo_data.errors import SepoError
from sepo_data.stages.directory import is_complete, read_manifest
from sepo_data.stages.scan import scan
from sepo_train.models.load import load_model
from sepo_train.scoring.options import ScoringOptions
from sepo_train.scoring.score import score
from tests.sepo_train.engine.test_choose_lengths import forgetful
from tests.sepo_train.models.test_weight_changes import CHANGES, changing

SHARDS = ScoringOptions(shard_rows=4)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Ten pairs in three shards; row 9, in the last one, is longer than any other."""
    rows = [{"prompt": f"Tea {n}?", "chosen": " Yes.", "rejected": " No, not now."} for n in range(10)]
    rows[9] |= {"chosen": " Yes." * 40, "rejected": " No, not now." * 20}
    file = tmp_path_factory.mktemp("input") / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


@pytest.fixture
def score_pairs(pairs, tiny_models, tmp_path, monkeypatch):
    """Score the pairs with models that are made something else when they are loaded; layouts are tested on four."""
    monkeypatch.setattr("sepo_train.scoring.plan.SAMPLE_PAIRS", 4)
    models = {role: str(folder) for role, folder in tiny_models.items()}

    def call(made=lambda model: model, *, out="rewards", options=SHARDS, **more):
        monkeypatch.setattr("sepo_train.scoring.model_pair.load_model", lambda *a, **k: made(load_model(*a, **k)))
        return tmp_path / out, lambda: score(pairs, tmp_path / out, **models, options=options, **more)

    return call


def test_the_longest_row_of_each_shard_is_scored_again(score_pairs):
    _, run = score_pairs()
    assert [shard.notes["rechecked"] for shard in run().shards] == [1, 1, 1]


def test_a_layout_that_goes_wrong_stops_the_run_before_its_shard(score_pairs):
    out, run = score_pairs(lambda model: forgetful(model, 100))
    with pytest.raises(SepoError, match=r"^row 9, with \d+ tokens .* in the layout `shared prompt") as found:
        run()
    assert "--batch-tokens 1" in found.value.hint
    assert not is_complete(out)
    assert len(list(out.glob("data-*.arrow"))) == 2
    with pytest.raises(SepoError, match=r"^row 9"):
        run()

    plain = ScoringOptions(shard_rows=4, batch_tokens=1)
    rewards = []
    for name, made, options in (("alone", lambda model: forgetful(model, 100), plain), ("right", lambda m: m, SHARDS)):
        folder, run = score_pairs(made, out=name, options=options)
        assert run().rows == 10
        column = scan(folder).select("rejected_rewards").collect().to_series()
        rewards.append(torch.tensor(column.explode().to_list()))
    assert torch.allclose(*rewards, atol=1e-4)


@pytest.mark.parametrize("after", [20, 30])
def test_weights_that_change_on_the_way_stop_the_run(score_pairs, after):
    out, run = score_pairs(lambda model: changing(model, after, CHANGES["all of them"]))
    with pytest.raises(SepoError, match="a LlamaForCausalLM changed its own weights while it computed"):
        run()
    assert not out.exists() or not read_manifest(out).complete
