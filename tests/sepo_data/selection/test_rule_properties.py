"""Properties that every rule has, also one that was added a minute ago: parametrised over the registry."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from transformers import AutoTokenizer

from sepo_data.selection.filter import filters_of
from sepo_data.selection.parse import parse_rule
from sepo_data.selection.rule import RULES
from sepo_data.selection.selection import Selection, mask_columns

SIDES = ("chosen", "rejected")
WORDS = ["Yes", "no", "naïve", "café", "日本", "help!", "I'd", "x", "therefore", "\n", "5%"]
LISTS = ("rewards", "oracle_logps", "ref_logps")

# Slow loops over one response, for the default arguments of a rule: from its rewards, made such that high ones are
# good, to the places of the selected tokens. test_rule.py has one for every rule and any arguments.
SLOW = {
    "top": lambda rewards: by_score(rewards)[: max(1, len(rewards) * 30 // 100)],
    "inverse": lambda rewards: by_score([-each for each in rewards])[: max(1, len(rewards) * 30 // 100)],
    "all": lambda rewards: range(len(rewards)),
    "mass": lambda rewards: carrying(by_score(list(map(abs, rewards))), list(map(abs, rewards)), 80),
    "decay": lambda rewards: carrying(range(len(rewards)), [0.98**place for place in range(len(rewards))], 80),
}


def by_score(scores):
    return sorted(range(len(scores)), key=lambda place: (-scores[place], place))


def carrying(order, weights, percent):
    """The first places of `order` whose weights sum to that share of all of them."""
    total = np.cumsum(np.array([weights[place] for place in order], np.float64))
    return list(order)[: next(k for k, value in enumerate(total, 1) if value * 100 >= total[-1] * percent)]


@pytest.fixture(scope="module")
def folder(tiny_model, tmp_path_factory):
    """A stage directory, as far as rules read one: the tokenizer."""
    made = tmp_path_factory.mktemp("rewards")
    (made / "tokenizer").symlink_to(tiny_model)
    return made


@pytest.fixture(scope="module")
def rows(tiny_model):
    """Rows of a rewards dataset: one token and hundreds, without ties, with few values, with equal rewards alone."""
    tokenizer, rng = AutoTokenizer.from_pretrained(tiny_model), np.random.default_rng(0)
    columns = {"pair_id": [], "source_row": [], "prompt_ids": []}
    for number, words in enumerate([1, 2, 3, 10, 40, 120, 5, 30, 1, 60]):
        columns["pair_id"].append(f"{rng.integers(2**63):016x}")
        columns["source_row"].append(2 * number)
        columns["prompt_ids"].append([1, 2])
        for side in SIDES:
            text = " ".join(rng.choice(WORDS, words))
            ids = tokenizer.encode(text + "<|im_end|>")
            draw = [rng.normal, lambda size: rng.choice([-1.0, -0.0, 0.0, 0.5], size), np.ones][number % 3]
            values = {"rewards": draw(size=len(ids)) if number % 3 == 0 else draw(len(ids))}
            values |= {f"{model}_logps": -rng.exponential(2.0, len(ids)) for model in ("oracle", "ref")}
            cut = sorted(rng.integers(0, len(text) + 1, 2).tolist())
            made = {"": text, "_ids": ids, "_spans": [cut] if number % 4 else []}
            made |= {f"_{name}": list(values[name]) for name in LISTS}
            for name, value in made.items():
                columns.setdefault(f"{side}{name}", []).append(value)
    schema = {f"{side}_{name}": pl.List(pl.Float32) for side in SIDES for name in LISTS}
    schema |= {f"{side}_ids": pl.List(pl.Int32) for side in SIDES}
    return pl.DataFrame(columns, schema_overrides=schema)


@pytest.fixture
def rule(request, rows, folder):
    return RULES[request.param].function().prepared(rows.lazy(), folder)


every_rule = pytest.mark.parametrize("rule", RULES, indirect=True)


def masks_of(rule, frame, engine="in-memory"):
    return frame.lazy().select(rule.mask(side).alias(f"{side}_mask") for side in SIDES).collect(engine=engine)


@every_rule
def test_a_mask_has_a_boolean_for_each_token_and_selects_one_of_every_response(rule, rows):
    masks = masks_of(rule, rows)
    for side in SIDES:
        mask = masks[f"{side}_mask"]
        assert mask.dtype == pl.List(pl.Boolean)
        assert mask.list.len().to_list() == rows[f"{side}_ids"].list.len().to_list()
        assert mask.explode().null_count() == 0
        assert mask.list.any().all()


@pytest.mark.parametrize("rule", [name for name in RULES if RULES[name].function().quotas], indirect=True)
def test_a_rule_with_quotas_takes_exactly_so_many(rule, rows):
    masks = masks_of(rule, rows)
    for side in SIDES:
        lengths = rows[f"{side}_ids"].list.len().to_list()
        expected = [min(n, rule.quotas[side].k_of(n)) for n in lengths]
        assert masks[f"{side}_mask"].list.sum().to_list() == expected


@every_rule
def test_the_highest_scores_are_taken_the_earliest_first_among_equals(rule, rows):
    masks = masks_of(rule, rows)
    for side in SIDES:
        scores = rows.select(score=rule.score(side))["score"].to_list()
        for mask, row in zip(masks[f"{side}_mask"].to_list(), scores, strict=True):
            assert not any(math.isnan(each) for each in row)
            assert [place for place in by_score(row) if mask[place]] == by_score(row)[: sum(mask)]


@every_rule
def test_neither_shards_nor_batches_change_a_mask(rule, rows):
    masks = masks_of(rule, rows)
    assert masks.equals(masks_of(rule, rows, engine="streaming"))
    for size in (1, 3):
        assert masks.equals(pl.concat(masks_of(rule, part) for part in rows.iter_slices(size)))


@every_rule
def test_select_writes_the_mask_of_the_expression(rule, rows):
    """`mask_columns`, which `sepo select` runs, against `Rule.mask`, which everything else does."""
    [made] = mask_columns(rows, [Selection(rule)])
    assert made.select("chosen_mask", "rejected_mask").equals(masks_of(rule, rows))


@every_rule
def test_bounds_hold_for_every_rule(rule, rows, folder):
    bounded = Selection(RULES[rule.name].function(), filters_of({"min_tokens": 3, "max_tokens": 4}))
    [made] = mask_columns(rows, [bounded.prepared(rows.lazy(), folder)])
    for side in SIDES:
        lengths = rows[f"{side}_ids"].list.len().to_list()
        counts = made[f"{side}_selected"].to_list()
        assert all(min(n, 3) <= count <= 4 for n, count in zip(lengths, counts, strict=True))


@every_rule
def test_a_rule_is_the_text_that_the_manifest_records(rule):
    assert str(parse_rule(str(rule))) == str(rule)
    assert rule.name in RULES
    assert RULES[rule.name].call.startswith(rule.name)
    assert RULES[rule.name].summary.endswith(".")
    assert RULES[rule.name].source


@pytest.mark.parametrize("rule", SLOW, indirect=True)
def test_the_fast_path_equals_a_slow_loop(rule, rows):
    masks = masks_of(rule, rows)
    for sign, side in ((1, "chosen"), (-1, "rejected")):
        for mask, rewards in zip(masks[f"{side}_mask"].to_list(), rows[f"{side}_rewards"].to_list(), strict=True):
            expected = set(SLOW[rule.name]([sign * each for each in rewards]))
            assert {place for place, selected in enumerate(mask) if selected} == expected
