"""Rewards by which nothing can be ranked are refused, for the rules that rank by them."""

import pytest

from sepo_data.errors import RefusedError, SepoError
from sepo_data.schemas.manifest import ModelRecord
from sepo_data.selection.equal_rewards import refuse_equal_rewards
from sepo_data.selection.rule import RULES
from sepo_data.selection.select import select
from sepo_data.selection.selection import Selection
from sepo_data.stages.directory import read_manifest, record_results
from sepo_data.stages.rewards import EQUAL_MODELS
from sepo_data.stages.shards import read_shards

ZEROS = [([0.0] * 32, [0.0] * 9), ([0.0] * 4, [0.0])]
ONE_VALUE = [([0.5] * 32, [0.5] * 9), ([0.5] * 4, [0.5] * 2)]
BY_RESPONSE = [([1.0] * 12, [-1.0] * 9), ([0.25] * 10, [0.5] * 9)]
NOISE = [([1e-7, -1e-7, 0.0, 2e-7] * 3, [1e-7, 0.0, -2e-7] * 3)] * 2
ONE_TOKEN = [([1.0], [-1.0]), ([0.25], [0.5])]
ONE_VARIES = [*ZEROS, ([0.0, 0.0], [0.0, 1e-3])]

RANK = ("top", "inverse", "mass", "threshold", "budget", "ref-gap", "position-random")
"""The rules that rank by reward, or draw as many tokens where one does."""

DO_NOT = ("random", "all", "confidence", "decay")


@pytest.fixture
def folder(rewards_of, write_rewards, texts, tmp_path):
    """A rewards directory of these pairs, a shard each, and results of its manifest."""

    def write(pairs, **results):
        tables = [rewards_of([pair], first=number) for number, pair in enumerate(pairs)]
        manifest = write_rewards(tmp_path / "rewards", tables, tokenizer=texts)
        record_results(tmp_path / "rewards", manifest.results | results)
        return tmp_path / "rewards"

    return write


def make(name):
    return Selection(RULES[name].function())


def refused(rewards, out, name, **more):
    with pytest.raises(SepoError, match=f"are equal, so the rule {name} would take the first tokens") as error:
        select(rewards, out, make(name), **more)
    assert "--rule random" in error.value.hint
    assert not out.exists()


def test_every_rule_is_one_or_the_other():
    assert {*RANK, *DO_NOT, "span"} == set(RULES)


@pytest.mark.parametrize("pairs", [ZEROS, ONE_VALUE], ids=["zeros", "one value"])
@pytest.mark.parametrize("name", RANK)
def test_rules_that_rank_by_reward_are_refused(folder, tmp_path, pairs, name):
    rewards = folder(pairs)
    refused(rewards, tmp_path / "out", name)
    refused(rewards, tmp_path / "out", name, dry_run=True)


@pytest.mark.parametrize("pairs", [ZEROS, ONE_VALUE, BY_RESPONSE], ids=["zeros", "one value", "by response"])
@pytest.mark.parametrize("name", DO_NOT)
def test_rules_that_do_not_are_not(folder, tmp_path, pairs, name):
    assert select(folder(pairs), tmp_path / "out", make(name)).complete


def test_rewards_of_whole_responses(folder, tmp_path):
    rewards = folder(BY_RESPONSE)
    refused(rewards, tmp_path / "out", "top")
    assert select(rewards, tmp_path / "budget", make("budget")).complete, "it compares the responses"


def test_one_response_that_varies_is_enough(folder, tmp_path):
    assert select(folder(ONE_VARIES), tmp_path / "out").complete


def test_responses_of_one_token_leave_no_choice(folder, tmp_path):
    assert select(folder(ONE_TOKEN), tmp_path / "out").complete


def test_rounding_is_refused_where_scoring_found_the_models_equal(folder):
    rewards = folder(NOISE)
    names = {"oracle": "a", "ref": "b"}
    models = {role: ModelRecord(name=name, weights=name, parameters=1) for role, name in names.items()}
    parent = read_manifest(rewards).model_copy(update={"models": models, "results": {EQUAL_MODELS: True}})
    shards = read_shards(rewards, read_manifest(rewards))
    with pytest.raises(SepoError, match="the oracle a is the reference b, up to rounding"):
        refuse_equal_rewards(parent, shards, [RULES["top"].function()])
    refuse_equal_rewards(parent, shards, [RULES["random"].function()])


def test_rounding_that_nothing_is_known_of_is_taken(folder, tmp_path):
    assert select(folder(NOISE), tmp_path / "out").complete


def test_a_dry_run_finds_what_the_run_refuses(folder, tmp_path):
    rewards = folder(ONE_VARIES)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    for dry_run in (True, False):
        with pytest.raises(RefusedError, match="sepo did not write"):
            select(rewards, tmp_path / "out", dry_run=dry_run)
    (rewards / "tokenizer" / "tokenizer.json").unlink()
    for dry_run in (True, False):
        with pytest.raises(SepoError, match="is missing or incomplete"):
            select(rewards, tmp_path / "other", dry_run=dry_run)
