"""The longest rows that were scored are compared with their responses by themselves."""

import math
from dataclasses import replace

import pytest
import torch

from sepo_data.errors import SepoError
from sepo_train.engine import recheck
from sepo_train.engine.layout_policy import NO_LIMIT, PLAIN, LayoutPolicy
from sepo_train.engine.logps import score_trees
from sepo_train.engine.recheck import recheck_longest
from tests.sepo_train.engine.test_choose_lengths import forgetful

SHARED = LayoutPolicy(NO_LIMIT)


def name(index):
    return f"row {100 + index}"


@pytest.fixture(scope="module")
def trees(random_trees):
    return random_trees((3, 4, 5), (20, 37, 30), (3, 6, 4), (4, 2, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_long_row_that_went_wrong_is_named(llama, trees, dtype):
    model = forgetful(llama.to(dtype), 60)
    scores = score_trees(model, trees, SHARED, batch_tokens=256)
    with pytest.raises(
        SepoError, match=r"^row 101, with 57 tokens .*: a LlamaForCausalLM gives other .* layout `shared prompt`"
    ):
        recheck_longest(model, trees, scores, SHARED, name=name)
    short = [trees[0], *trees[2:]]
    assert recheck_longest(model, short, [scores[0], *scores[2:]], SHARED, name=name) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["llama", "qwen3", "granite", "stablelm"])
@pytest.mark.parametrize("policy", [SHARED, PLAIN, replace(PLAIN, padded_limit=0), LayoutPolicy(40)])
def test_rounding_stops_nothing(llama_like, trees, kind, dtype, policy):
    model = llama_like(kind).to(dtype)
    scores = score_trees(model, trees, policy, batch_tokens=64)
    assert recheck_longest(model, trees, scores, policy, name=name) == (2 if policy.shared_limit == 40 else 1)


def test_rows_that_are_not_finite_are_passed_over(llama, trees):
    llama.model.embed_tokens.weight.data[96] = math.nan
    broken = replace(trees[1], prompt_ids=[96, *trees[1].prompt_ids])
    given = [trees[0], broken]
    assert recheck_longest(llama, given, score_trees(llama, given, PLAIN, batch_tokens=1), SHARED, name=name) == 1
    assert recheck_longest(llama, [broken], score_trees(llama, [broken], PLAIN, batch_tokens=1), SHARED, name=name) == 0
    assert recheck_longest(llama, [], [], SHARED, name=name) == 0


def test_a_change_that_another_batch_does_not_have_is_rounding(llama, trees, monkeypatch):
    """Where two experts are all but equally good, rounding chooses; in a batch of another shape it chooses again."""
    scores = score_trees(llama, trees, SHARED, batch_tokens=256)
    scores[1][1][7] += 0.05
    assert recheck_longest(llama, trees, scores, SHARED, name=name) == 1
    monkeypatch.setattr(recheck, "ROW_COPIES", ())
    with pytest.raises(SepoError, match="row 101"):
        recheck_longest(llama, trees, scores, SHARED, name=name)
